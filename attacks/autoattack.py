"""AutoAttack: the standard protocol of the field."""

from typing import Literal

from advbench.interfaces import Attack

from .apgd import APGD
from .fab import FAB
from .relay import Leg, Relay
from .square import Square

Version = Literal["standard", "rand"]


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
