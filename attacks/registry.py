"""The attacks that can be named on the command line."""

from typing import Final

from advbench.names.registry import Entry

# The cost: F is a forward pass, B a backward pass to the pixels.
ATTACKS: Final = {
    "pgd": Entry(
        factory="advbench.attacks.pgd:PGD",
        summary="projected gradient descent, best iterate kept",
        source="Madry et al. 2018",
        needs="gradient",
        cost="restarts x steps x (F + B)",
    ),
    "apgd": Entry(
        factory="advbench.attacks.apgd:APGD",
        summary="PGD that chooses its step by itself",
        source="Croce, Hein 2020; L1: Croce, Hein 2021",
        needs="gradient",
        cost="restarts x max(targets, 1) x steps x (F + B)",
    ),
    "fab": Entry(
        factory="advbench.attacks.fab:FAB",
        summary="smallest perturbation, by steps to the linearised boundary",
        source="Croce, Hein 2020, Minimally distorted adversarial examples",
        needs="gradient",
        cost="restarts x targets x steps x (2 F + B)",
    ),
    "fmn": Entry(
        factory="advbench.attacks.fmn:FMN",
        summary="smallest perturbation, by steps in a radius that follows the boundary",
        source="Pintor et al. 2021",
        needs="gradient",
        cost="max(targets, 1) x steps x (F + B)",
    ),
    "square": Entry(
        factory="advbench.attacks.square:Square",
        summary="random search with squares",
        source="Andriushchenko et al. 2020",
        needs="scores",
        cost="queries x F",
    ),
    "tabu": Entry(
        factory="advbench.attacks.tabu:Tabu",
        summary="random search with squares that were tried the longest ago",
        source="Andriushchenko et al. 2020; Glover 1989",
        needs="scores",
        cost="queries x F",
    ),
    "hard-label": Entry(
        factory="advbench.attacks.hard_label:HardLabel",
        summary="the shortest ray to another class: signs flipped in windows, or the boundary's normal",
        source="Chen, Gu 2020; Chen, Jordan, Wainwright 2020",
        needs="labels",
        cost="queries x F",
    ),
    "autoattack": Entry(
        factory="advbench.attacks.suites:autoattack",
        summary="apgd-ce, apgd-t, fab-t and square in turn, on what still stands",
        source="Croce, Hein 2020",
        needs="gradient, scores",
        cost="19 steps x (F + B) + 9 steps x F + queries x F",
    ),
    "auto": Entry(
        factory="advbench.attacks.auto:auto",
        summary="the strongest attack that the model allows: strongest, tabu or hard-label",
        source="as theirs",
        needs="as the model gives",
        cost="as that attack",
    ),
    "strongest": Entry(
        factory="advbench.attacks.suites:strongest",
        summary="ascents, FAB, and a Square that goes on from there; more near the boundary",
        source="benchmarks/STRONGEST.md",
        needs="gradient, scores",
        cost="5 steps x (F + B) + (3 steps + queries / 10) x F; near, 12 steps x (F + B) + queries x F more",
    ),
    "fgsm": Entry(
        factory="advbench.attacks.pgd:fgsm",
        summary="one gradient step of length eps",
        source="Goodfellow, Shlens, Szegedy 2015",
        needs="gradient",
        cost="F + B, F to look",
    ),
    "selective": Entry(
        factory="advbench.attacks.selective:Selective",
        summary="PGD on classifier or detector, whichever still holds",
        source="Bryniarski et al. 2022",
        needs="gradient",
        cost="restarts x steps x (F + B)",
    ),
    "orthogonal": Entry(
        factory="advbench.attacks.selective:orthogonal",
        summary="the same, each gradient without its part along the other",
        source="Bryniarski et al. 2022",
        needs="gradient",
        cost="2 restarts x steps x (F + B)",
    ),
    "foolbox:NAME": Entry(
        factory="advbench.attacks.of_foolbox:foolbox_attack",
        summary="any attack of foolbox 3, by its class: foolbox:LinfDeepFoolAttack:steps=50",
        source="Rauber et al. 2020",
        needs="as its class does",
        cost="counted as they come",
    ),
    "torchattacks:NAME": Entry(
        factory="advbench.attacks.of_torchattacks:torchattacks_attack",
        summary="any attack of torchattacks, by its class: torchattacks:APGD:steps=50",
        source="Kim 2020",
        needs="as its class does",
        cost="counted as they come",
    ),
    "art:NAME": Entry(
        factory="advbench.attacks.of_art:art_attack",
        summary="attacks of ART in a norm, by their class: art:SquareAttack:max_iter=1000",
        source="Nicolae et al. 2018",
        needs="as its class does",
        cost="counted as they come",
    ),
}
