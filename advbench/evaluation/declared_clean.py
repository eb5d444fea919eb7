"""Clean images before a model that adapts, in the declared batches, and what would spoil the run."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import pandas as pd
import torch

from advbench.data.batches import Batch
from advbench.defended.adapting import FORGETFUL, Episode, adapting_in
from advbench.defended.contract import checked_logits
from advbench.defended.doubts import DIFFERS_WITH_GRADIENTS, near
from advbench.defended.mates import Mates
from advbench.defended.model import DefendedModel
from advbench.errors import ModelError
from advbench.evaluation.attack_batch import samples_of
from advbench.evaluation.declared_batches import Declared
from advbench.evaluation.plan import Plan
from advbench.results.records import UNDEFENDED, join_samples
from advbench.results.table import Cell

STILL: Final = (
    "the model was said to adapt, and answers in its first batch as its static network does: BatchNorm "
    "layers that eval() was called on keep what they have learnt"
)
ONE_CLASS: Final = (
    "declared batches hold images of one class alone, in the order of the run; --limit mixes them"
)


class DeclaredClean(NamedTuple):
    """What the clean images of a row came to."""

    samples: pd.DataFrame
    doubts: tuple[str, ...]


def declared_clean(
    plan: Plan, defense: str, chosen: Sequence[int], note: Callable[[str], None]
) -> DeclaredClean:
    """Judge clean images in declared batches.

    Args:
        plan: the evaluation.
        defense: the row of a model that adapts.
        chosen: the images of this process, in the order of the run.
        note: is told in a sentence what a user may not have meant.

    Raises:
        ModelError: a model that does not answer alike from the same state, or that changes for good.
    """
    adaptation, adapting = plan.adaptation(defense), adapting_in(plan.model)
    assert adaptation is not None
    assert adapting is not None
    cell, doubts = Cell(defense, "", "clean"), tuple[str, ...]()
    declared, parts, mixed = Declared(plan, cell, adaptation), list[pd.DataFrame](), False
    for batch in declared.batches(chosen):
        on_device = batch.to(plan.device)
        everything = torch.arange(len(batch.y), device=plan.device)
        if not parts:
            doubts = _looked_at(plan, defense, on_device, note)
        judged = declared.judged(on_device, everything, on_device.x, clean=True)
        declared.left_by(judged.after)
        parts.append(samples_of(cell, batch, judged.judgement))
        mixed |= len(batch.y) == 1 or int(batch.y.min()) < int(batch.y.max())
    adapting.check_unchanged()
    if not mixed:
        note(f"warning: {ONE_CLASS}")
    return DeclaredClean(join_samples(parts), doubts)


@torch.no_grad()
def _looked_at(plan: Plan, defense: str, batch: Batch, note: Callable[[str], None]) -> tuple[str, ...]:
    """What there is to say of a model by its first batch."""
    adapting, (_, x, y) = adapting_in(plan.model), batch
    assert adapting is not None
    model = plan.judged(defense)
    with plan.shown.counted_as("probe"):
        logits = checked_logits(model, x, y)
        again = model(x)
        adapting.check_unchanged()
        if not near(again, logits, 0.0 if x.device.type == "cpu" else 1e-5):
            raise ModelError(FORGETFUL)
        unadapted = plan.judged(UNDEFENDED)(x)
        followed = _followed(plan, defense, x)
    if near(unadapted, logits, 0.0):
        note(STILL)
    layers = adapting.batch_layers
    if layers:
        note(f"{layers} BatchNorm layers take their statistics from the batch, as they were given")
    return () if followed is None or near(followed, logits, 0.02) else (DIFFERS_WITH_GRADIENTS,)


@torch.enable_grad()
def _followed(plan: Plan, defense: str, x: torch.Tensor) -> torch.Tensor | None:
    """What the model says where its gradient is followed; None where it cannot be."""
    model: DefendedModel = plan.attacked(defense)
    assert model.episode is not None
    rows = torch.arange(len(x), device=x.device)
    seen = model.in_batch(Mates(x, rows), Episode(model.episode.begin, "whole"))
    try:
        followed: torch.Tensor = seen(x.detach().requires_grad_())
    except ModelError:
        return None
    return followed.detach()
