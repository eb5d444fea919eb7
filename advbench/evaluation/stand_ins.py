"""What stands in for each defense of a plan, and whose gradients the indicators look at."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import pandas as pd

from advbench.evaluation.binarization import binarization
from advbench.evaluation.choose_substitutes import Chooser, Options, with_exact
from advbench.evaluation.measure_indicators import Subject, measured
from advbench.evaluation.passable import passable
from advbench.evaluation.plan import Plan
from advbench.evaluation.search_substitutes import Choice, Store
from advbench.results.indicators import Indicator
from advbench.results.table import Cell


class TellingStore(Store, Protocol):
    """A store that is also told in a sentence what a search has found."""

    @property
    def note(self) -> Callable[[str], None]:
        """Take a sentence."""
        ...


def chosen_substitutes(plan: Plan, options: Mapping[str, Options], store: TellingStore) -> dict[str, Choice]:
    """What stands in for each defense on the bpda rung, found by a search where there are several options."""
    chooser = Chooser(plan, options, store, store.note)
    with plan.shown.counted_as("search"):
        return {defense: chooser.choose(defense) for defense in options} if "bpda" in plan.rungs else {}


def doubts_with(
    doubts: Mapping[str, tuple[str, ...]], stand_ins: Mapping[str, Choice]
) -> dict[str, tuple[str, ...]]:
    """The doubts of each defense, and those of what stands in for it."""
    return {
        defense: known + (stand_ins[defense].doubts if defense in stand_ins else ())
        for defense, known in doubts.items()
    }


def widened(plan: Plan, options: Mapping[str, Options]) -> dict[str, Options]:
    """What may stand in for each defense, its own derivative included where there is one."""
    if "bpda" not in plan.rungs:
        return dict(options)
    return {
        defense: with_exact(option, plan.chains[defense], partial(passable, plan, defense))
        for defense, option in options.items()
    }


def indicators_of(
    plan: Plan, stand_ins: Mapping[str, Choice], records: Mapping[Cell, pd.DataFrame], images: Sequence[int]
) -> tuple[Indicator, ...]:
    """The indicators of a plan's attacks, and the tests of them that it asks for.

    Args:
        plan: the evaluation.
        stand_ins: what stands in for each defense.
        records: what the rungs have come to, on this process's share of the images.
        images: that share.
    """
    subjects = probed(plan, stand_ins)
    indicators = measured(plan, subjects, records)
    if "binarization" in plan.tests:
        indicators += binarization(plan, subjects, images)
    return indicators


def probed(plan: Plan, stand_ins: Mapping[str, Choice]) -> list[Subject]:
    """Whose gradients are looked at: the defense's own, and then the best substitute's."""
    subjects = []
    for defense, chain in plan.chains.items():
        subjects.append(Subject(defense, "shattered", chain))
        if defense in stand_ins:
            subjects.append(Subject(defense, "bpda", stand_ins[defense].chains[0]))
    return subjects
