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
    "foolbox:NAME": Entry(
        factory="advbench.attacks.of_foolbox:foolbox_attack",
        summary="any attack of foolbox 3, by its class: foolbox:LinfDeepFoolAttack:steps=50",
        source="Rauber et al. 2020",
    ),
    "torchattacks:NAME": Entry(
        factory="advbench.attacks.of_torchattacks:torchattacks_attack",
        summary="any attack of torchattacks, by its class: torchattacks:APGD:steps=50",
        source="Kim 2020",
    ),
    "art:NAME": Entry(
        factory="advbench.attacks.of_art:art_attack",
        summary="attacks of ART in a norm, by their class: art:SquareAttack:max_iter=1000",
        source="Nicolae et al. 2018",
    ),
}
