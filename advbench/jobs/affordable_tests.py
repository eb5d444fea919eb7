"""Whether a run can afford to test its own attacks: `--test auto` does where that adds a tenth at most."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from advbench.evaluation.binarization import INNER, TESTED, TRIES
from advbench.results.indicators import TESTS, Test
from advbench.speed.attack_cost import gradient_passes
from advbench.threat.attack import Attack

AUTO: Final = "auto"
"""The word for it."""

MOST: Final = 0.1
"""Share of a run that the test may add."""

_OF_A_STEP: Final = 3
"""Forward passes that a gradient step is worth: its backward pass takes about two."""


class Affordable(NamedTuple):
    """The tests of a run, and why one is left out; empty where none is."""

    tests: tuple[Test, ...]
    left_out: str = ""


def affordable(
    images: int, defenses: int, attacks: Mapping[str, Attack], gradient_free: Mapping[str, Attack]
) -> Affordable:
    """The binarization test, where it costs a tenth of the ladder at most.

    Both are counted in forward passes before anything is computed, as if every image stood to the end.

    Args:
        images: of the run.
        defenses: rows beside the undefended model's.
        attacks: of the gradient rungs.
        gradient_free: of the gradient-free rung.
    """
    costs = {name: passes(attack) for name, attack in {**gradient_free, **attacks}.items()}
    unknown = [name for name, cost in costs.items() if cost is None]
    if unknown:
        return Affordable((), _sentence(f"what {unknown[0]} costs is not known beforehand"))
    along = sum(costs[name] or 0 for name in attacks)
    queries = sum(costs[name] or 0 for name in gradient_free)
    rungs = 1 + 2 * defenses
    run = images * (rungs * along + (1 + defenses) * queries)
    test = min(images, TESTED) * rungs * (INNER + 1 + (1 + TRIES) * len(attacks) + along)
    if test > MOST * run:
        return Affordable((), _sentence(f"it would add about {100 * test / max(run, 1):.0f} %"))
    return Affordable(TESTS)


def _sentence(reason: str) -> str:
    return f"the binarization test is left out, {reason}: --test binarization runs it all the same"


def passes(attack: Attack) -> int | None:
    """Forward passes that an attack takes for an image at most; None where that cannot be told."""
    cost = gradient_passes(attack)
    return None if cost is None else round(_OF_A_STEP * cost)
