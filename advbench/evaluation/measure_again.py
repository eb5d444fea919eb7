"""What a run measured beside its records, measured again: substitutes, indicators, and doubts of the model.

All of it is a matter of the plan and its seed, so that a second measurement comes to the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pandas as pd
import torch

from advbench.data.batches import read_batch
from advbench.defended.contract import checked_logits
from advbench.defended.doubts import doubts_about
from advbench.defended.left_as_found import in_full_precision, prepared
from advbench.evaluation.choose_substitutes import Options
from advbench.evaluation.faster_plan import at_speed
from advbench.evaluation.measure_indicators import measured
from advbench.evaluation.plan import Plan
from advbench.evaluation.stand_ins import chosen_substitutes, probed, widened
from advbench.results.indicators import Indicator
from advbench.results.records import Candidate
from advbench.results.table import Heading
from advbench.results.verdict import WITHOUT_EXPECTATION
from advbench.speed.working_copy import Copies


class Again(NamedTuple):
    """What a second measurement came to."""

    indicators: tuple[Indicator, ...]
    candidates: tuple[Candidate, ...]
    substitutes: Mapping[str, str]
    """What stands in for each defense."""
    doubts: Mapping[str, tuple[str, ...]]
    kept: Mapping[str, bytes]
    """What the search found and fitted, as the files of `substitutes/` hold it."""


@dataclass
class _Memory:
    """Keeps what a search makes, and has nothing from before."""

    kept: dict[str, bytes] = field(default_factory=dict)

    @property
    def origin(self) -> Mapping[str, str]:
        """Of nowhere: what is kept is compared, and not written."""
        return {}

    def load(self, name: str) -> bytes | None:
        """What was made before in this measurement."""
        return self.kept.get(name)

    def save(self, name: str, contents: bytes) -> None:
        """Keep it."""
        self.kept[name] = contents

    def note(self, text: str) -> None:
        """Nobody is told: the run has told it."""


def measured_again(
    plan: Plan,
    options: Mapping[str, Options],
    samples: pd.DataFrame,
    heading: Heading,
    *,
    batch_size: int | Literal["auto"],
    copies: Copies,
) -> Again:
    """Search, fit and measure as the run did, with its records as they are.

    Args:
        plan: the run's.
        options: what may stand in for each defense.
        samples: the run's records.
        heading: what its table is about.
        batch_size: how many images at a time.
        copies: what attacks differentiate.
    """
    memory = _Memory()
    with torch.inference_mode(False), in_full_precision(), prepared(*plan.modules()):
        plan = at_speed(plan.counted(), plan.images, batch_size, copies, memory.note)
        choices = chosen_substitutes(plan, widened(plan, options), memory)
        records = {cell: cell.records(samples) for cell in heading.cells()}
        indicators: tuple[Indicator, ...] = ()
        if "worst" in plan.rungs:
            indicators = measured(plan, probed(plan, choices), records)
        doubts = {defense: _doubts(plan, defense, plan.images) for defense in plan.chains}
    return Again(
        indicators,
        tuple(candidate for choice in choices.values() for candidate in choice.candidates),
        {defense: choice.words for defense, choice in choices.items()},
        doubts,
        memory.kept,
    )


def _doubts(plan: Plan, defense: str, images: Sequence[int]) -> tuple[str, ...]:
    """What keeps a defended model's answers from being a function of each image alone, on the first batch."""
    batch = read_batch(plan.dataset, list(images)[: plan.size.images])
    model, (_, x, y) = plan.judged(defense), batch.to(plan.device)
    with torch.no_grad():
        doubts = tuple(doubts_about(model, x, y, checked_logits(model, x, y)))
    return (*doubts, WITHOUT_EXPECTATION) if plan.is_random(defense) and plan.eot == 1 else doubts
