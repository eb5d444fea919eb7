"""The attacks that can be named on the command line."""

from typing import Final

from advbench.registry import Entry

ATTACKS: Final = {
    "pgd": Entry(
        factory="advbench.attacks.pgd:PGD",
        summary="projected gradient descent, best iterate kept",
        source="Madry et al. 2018",
    ),
    "apgd": Entry(
        factory="advbench.attacks.apgd:APGD",
        summary="PGD that chooses its step by itself",
        source="Croce, Hein 2020; L1: Croce, Hein 2021",
    ),
    "square": Entry(
        factory="advbench.attacks.square:Square",
        summary="random search with squares, from scores alone; linf and l2",
        source="Andriushchenko et al. 2020",
    ),
    "fgsm": Entry(
        factory="advbench.attacks.pgd:fgsm",
        summary="one gradient step of length eps",
        source="Goodfellow, Shlens, Szegedy 2015",
    ),
}
