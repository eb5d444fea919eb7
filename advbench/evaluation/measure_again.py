"""What a run measured, measured again: substitutes, indicators, doubts of the model, and records of a sample.

All of it is a matter of the plan and its seed, so that a second measurement comes to the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pandas as pd
import torch

from advbench.data.batches import Batch, read_batch
from advbench.defended.contract import checked_logits
from advbench.defended.left_as_found import in_full_precision, prepared
from advbench.evaluation.attack_batch import Target, attacked
from advbench.evaluation.choose_substitutes import Options
from advbench.evaluation.clean_pass import doubts_of
from advbench.evaluation.declared_batches import declared_rung
from advbench.evaluation.declared_clean import declared_clean
from advbench.evaluation.faster_plan import at_speed
from advbench.evaluation.measure_indicators import PROBED
from advbench.evaluation.plan import Plan
from advbench.evaluation.search_substitutes import Choice
from advbench.evaluation.stand_ins import chosen_substitutes, doubts_with, indicators_of, widened
from advbench.evaluation.surrogates import settled_surrogate
from advbench.results.indicators import Indicator
from advbench.results.records import UNDEFENDED, Candidate, join_samples
from advbench.results.surrogates import Likeness
from advbench.results.table import Cell, Heading
from advbench.speed.batch_size import in_batches
from advbench.speed.working_copy import Copies


class Again(NamedTuple):
    """What a second measurement came to."""

    indicators: tuple[Indicator, ...]
    candidates: tuple[Candidate, ...]
    substitutes: Mapping[str, str]
    """What stands in for each defense."""
    doubts: Mapping[str, tuple[str, ...]]
    records: pd.DataFrame
    """Of a sample of the images, attacked again on every rung but the static one."""
    kept: Mapping[str, bytes]
    """What the search found and fitted, as the files of `substitutes/` hold it."""
    likeness: Likeness | None = None
    """How alike the surrogate is; None where there is none."""


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
        if any(plan.adaptation(defense) is not None for defense in plan.chains):
            copies = Copies(fast=False)
        plan = at_speed(plan.counted(), plan.images, batch_size, copies, memory.note)
        options, undefended, likeness = widened(plan, options), dict[str, Choice](), None
        if plan.surrogate is not None:
            plan, likeness, undefended[UNDEFENDED] = settled_surrogate(plan, memory, memory.note)
        choices = undefended | chosen_substitutes(plan, options, memory)
        records = {cell: cell.records(samples) for cell in heading.cells()}
        indicators: tuple[Indicator, ...] = ()
        if "worst" in plan.rungs:
            indicators = indicators_of(plan, choices, records, plan.images)
        attacked_again = _attacked_again(plan, choices, samples, heading)
        doubts = doubts_with(
            {defense: _doubts(plan, defense, plan.images) for defense in plan.chains}, choices
        )
    return Again(
        indicators,
        tuple(candidate for choice in choices.values() for candidate in choice.candidates),
        {defense: choice.words for defense, choice in choices.items()},
        doubts,
        attacked_again,
        memory.kept,
        likeness,
    )


def _attacked_again(
    plan: Plan, choices: Mapping[str, Choice], samples: pd.DataFrame, heading: Heading
) -> pd.DataFrame:
    """The records of those images of the sample that attacks were spent on, not felled at smaller radii."""
    sample, records_again = plan.sample(PROBED), [join_samples([])]
    for cell in heading.cells():
        if cell.rung in ("clean", "static"):
            continue
        chains = choices[cell.defense].chains if cell.rung == "bpda" else (plan.chains[cell.defense],)
        target, records = Target(cell, chains), cell.records(samples)
        if plan.adaptation(cell.defense) is not None:
            records_again.append(_first_batch_again(plan, target, samples))
            continue
        spent = set(records[records["queries"] > 0]["index"])

        def work(batch: Batch, target: Target = target) -> pd.DataFrame:
            return attacked(plan, target, batch).samples

        images = [index for index in sample if index in spent]
        records_again += list(in_batches(plan.dataset, images, plan.size, work))
    return join_samples(records_again)


def _first_batch_again(plan: Plan, target: Target, samples: pd.DataFrame) -> pd.DataFrame:
    """The records of a model that adapts on its first declared batch, attacked again."""
    adaptation, clean = plan.adaptation(target.cell.defense), Cell(target.cell.defense, "", "clean")
    assert adaptation is not None
    first = list(plan.images)[: adaptation.batch]
    own = clean.records(samples).set_index("index").loc[first].reset_index()
    done = declared_rung(plan, target, own, set(), lambda _: None)
    spent = [rung_done.samples for rung_done in done if rung_done.x_adv is not None]
    return join_samples(spent)


def _doubts(plan: Plan, defense: str, images: Sequence[int]) -> tuple[str, ...]:
    """What keeps a defended model's answers from being a function of each image alone, on the first batch."""
    if plan.adaptation(defense) is not None:
        first = list(images)[: plan.size_for(defense).images]
        return declared_clean(plan, defense, first, lambda _: None).doubts
    batch = read_batch(plan.dataset, list(images)[: plan.size.images])
    model, (_, x, y) = plan.judged(defense), batch.to(plan.device)
    with torch.no_grad():
        return doubts_of(plan, defense, x, y, checked_logits(model, x, y))
