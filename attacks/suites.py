"""Attacks that are made of others: the standard protocol of the field, and the strongest one here."""

from typing import Literal

from advbench.threat.attack import Attack

from .apgd import APGD
from .fab import FAB
from .relay import Leg, Relay, WarmLeg
from .square import Square

Version = Literal["standard", "rand"]
_NEAR = 0.5  # of the clean margin
_SMALL = 0.2  # first step of an ascent that goes on where another attack has ended, in eps


def autoattack(*, version: Version = "standard", steps: int = 100, queries: int = 5000) -> Relay:
    """The ensemble of Croce, Hein 2020, "Reliable evaluation of adversarial robustness", section 4.

    Standard: APGD on cross-entropy, targeted APGD on DLR, targeted FAB, and Square, each on the images that
    the ones before it have left standing. For random defenses (`rand`): APGD on cross-entropy and on DLR,
    to be run with an expectation over their draws.

    Args:
        version: `standard` or `rand`.
        steps: gradient steps of each attack, restart and target.
        queries: forward passes of Square.
    """
    if version == "rand":
        legs: dict[str, Attack] = {"apgd-ce": APGD(steps=steps), "apgd-dlr": APGD(steps=steps, loss="dlr")}
    else:
        legs = {
            "apgd-ce": APGD(steps=steps),
            "apgd-t": APGD(steps=steps, loss="dlr", targets=9),
            "fab-t": FAB(steps=steps, early_stop=True),
            "square": Square(queries=queries),
        }
    return Relay(legs={name: Leg(attack=attack) for name, attack in legs.items()})


def strongest(*, steps: int = 50, queries: int = 3000) -> Relay:
    """Short ascents on every image, then all that helps on those that came near the boundary.

    Margins that do not follow their gradients say nothing of nearness: those images get every leg, and the
    whole of `autoattack`.

    benchmarks/STRONGEST.md tells what was tried and what each part gave.

    Args:
        steps: gradient steps of an ascent, and of FAB towards a class; the ascents on near images towards
            each of nine classes take half as many.
        queries: forward passes of Square on near images, in two halves; a tenth of them on every image.
            On doubtful ones `autoattack` takes twice the steps and five thirds of the queries, by default its
            own numbers.
    """
    everything = autoattack(steps=2 * steps, queries=max(1, queries * 5 // 3))
    half = Square(queries=max(1, queries // 2))
    ascent = APGD(steps=steps, loss="margin", first_step=_SMALL)
    return Relay(
        legs={
            "apgd-ce": Leg(attack=APGD(steps=steps)),
            "apgd-margin": Leg(attack=APGD(steps=steps, loss="margin")),
            "fab-t": Leg(attack=FAB(steps=steps, targets=3, early_stop=True)),
            "square": WarmLeg(attack=Square(queries=max(1, queries // 10))),
            "square-near": WarmLeg(attack=half, within=_NEAR),
            "ascent-near": WarmLeg(attack=ascent, within=_NEAR),
            "square-again": WarmLeg(attack=half, within=_NEAR),
            "ascent-again": WarmLeg(attack=ascent, within=_NEAR),
            "apgd-t": Leg(attack=APGD(steps=max(1, steps // 2), loss="dlr", targets=9), within=_NEAR),
            "apgd-dlr": Leg(attack=APGD(steps=steps, loss="dlr", restarts=5), within=_NEAR),
            "autoattack": Leg(attack=everything, doubted=True),
        },
        look_after="apgd-margin",
    )
