"""One rung on one batch: attacked, judged by a forward pass of its own, and written down."""

from collections.abc import Container, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from advbench.data.batches import Batch
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.evaluation.by_label import attempted
from advbench.evaluation.pixel_levels import as_seen, levels_of, on_levels, reachable
from advbench.evaluation.plan import Links, Plan
from advbench.evaluation.worst_case import Outcome, still_standing, worst_of
from advbench.results.records import LOSS_COLUMNS, SAMPLE_TYPES, Rung
from advbench.results.table import Cell
from advbench.threat.attack import Attempt, tolerates_bfloat16
from advbench.threat.judge import Judgement, fooled, judge, predict


@dataclass(frozen=True)
class RungDone:
    """A batch was judged under one rung of one defense and attack.

    Args:
        cell: the defense, the attack and the rung.
        samples: the batch's records.
        x_adv: the examples that were judged, `(n, c, h, w)`, one a record; None where nothing was
            attacked, because the clean images were wrong already.
    """

    cell: Cell
    samples: pd.DataFrame
    x_adv: Tensor | None

    @property
    def rung(self) -> Rung:
        """The rung."""
        return self.cell.rung

    def without(self, known: Container[int]) -> "RungDone":
        """The records of those images that are not known yet."""
        new = np.array([index not in known for index in self.samples["index"].tolist()], dtype=bool)
        if new.all():
            return self
        x_adv = None if self.x_adv is None else self.x_adv[torch.from_numpy(new).to(self.x_adv.device)]
        return RungDone(self.cell, self.samples[new], x_adv)


class Target(NamedTuple):
    """What is attacked on one rung."""

    cell: Cell
    chains: tuple[Links, ...]
    """The defense, with its substitutes on the bpda rung; each attacks what the ones before left standing."""
    replayed: Mapping[Cell, Set[int]] = MappingProxyType({})
    """The static rungs of the same attack, whose defenses are shown the examples that it makes here; for each
    the images that its defense classifies correctly when they are clean."""


def attacked(plan: Plan, target: Target, batch: Batch) -> RungDone:
    """Run an attack on one rung with one choice of substitutes after another; each image keeps the worst."""
    outcome = _attacked_through(plan, target, 0, batch)
    for number in range(1, len(target.chains)):
        rows = still_standing(outcome)
        if len(rows) == 0:
            break
        rest = Batch(*(tensor[torch.from_numpy(rows)] for tensor in batch))
        outcome = worst_of(outcome, _attacked_through(plan, target, number, rest), rows)
    return RungDone(target.cell, *outcome)


def replayed(plan: Plan, target: Target, batch: Batch, x_adv: Tensor) -> Iterator[RungDone]:
    """Show the examples of one attack to the defenses of its static rungs, and judge what these say.

    Args:
        plan: who judges.
        target: what was attacked, and which rungs replay it.
        batch: the clean images.
        x_adv: the examples, `(n, c, h, w)`.
    """
    for cell, right in target.replayed.items():
        rows = torch.tensor([index in right for index in batch.indices.tolist()])
        if not rows.any():
            continue
        clean = Batch(*(tensor[rows] for tensor in batch))
        seen = x_adv[rows.to(x_adv.device)]
        _, x, y = clean.to(plan.device)
        with torch.no_grad(), plan.shown.counted_as("judging"):
            answers = plan.judged(cell.defense, plan.judge).answers(seen)
            refused = answers.refused
            judged = judge(answers.logits, seen, x, y, plan.threat, rule=plan.judge, refused=refused)
        nothing = torch.zeros_like(y)
        attempt = Attempt(seen, nothing, nothing, nothing.bool())
        yield RungDone(cell, samples_of(cell, clean, judged, attempt), seen)


def samples_of(cell: Cell, batch: Batch, judged: Judgement, attempt: Attempt | None = None) -> pd.DataFrame:
    """The records of a batch. What is attacked was right at first, so its clean prediction is its label."""
    zero, nothing = torch.zeros_like(batch.y), torch.full(batch.y.shape, torch.nan)
    columns = {
        "index": batch.indices,
        "label": batch.y,
        "clean_prediction": judged.prediction if attempt is None else batch.y,
        "prediction": judged.prediction,
        "robust": judged.robust,
        "distance": judged.distance,
        "loss": judged.loss,
        "steps": zero if attempt is None else attempt.steps,
        "queries": zero if attempt is None else attempt.queries,
        "flat_gradient": zero.bool() if attempt is None else attempt.flat,
        "smallest": torch.where(judged.robust, torch.nan, judged.distance),
        "fooled_share": judged.fooled_share,
        "late_gain": nothing if attempt is None or attempt.late_gain is None else attempt.late_gain,
    }
    attempt_losses = None if attempt is None else attempt.losses
    losses = (
        torch.full((len(batch.y), len(LOSS_COLUMNS)), torch.nan) if attempt_losses is None else attempt_losses
    )
    columns |= dict(zip(LOSS_COLUMNS, losses.double().cpu().unbind(1), strict=True))
    frame = pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})
    return frame.assign(rung=cell.rung, defense=cell.defense, attack=cell.attack)[list(SAMPLE_TYPES)]


def _attacked_through(plan: Plan, target: Target, number: int, batch: Batch) -> Outcome:
    """Run an attack with one choice of substitutes, in bfloat16 if that is wanted and the attack can.

    What is found is judged in float32, and what fooled the network in bfloat16 alone is no success: those
    images are attacked again in float32, as they would have been without bfloat16.
    """
    may_refuse = plan.refuses(target.cell.defense)  # of which bfloat16 knows nothing
    if plan.rough is None or may_refuse or not tolerates_bfloat16(plan.attack_of(target.cell)):
        return _attacked_once(plan, _model(plan, target, number), target, number, batch)
    model = _model(plan, target, number, plan.rough)
    outcome = _attacked_once(plan, model, target, number, batch)
    rows = np.flatnonzero(outcome.samples["robust"].to_numpy())
    if not len(rows):  # an empty batch is more than many networks can take
        return outcome
    with torch.no_grad(), plan.shown.counted_as("attack"):
        logits = model(outcome.x_adv[rows])
    outcome.samples.loc[rows, "queries"] += len(model.draws())
    believed = fooled(predict(logits), batch.y[rows].to(plan.device)).cpu().numpy()
    if not believed.any():
        return outcome
    rest = Batch(*(tensor[torch.from_numpy(rows[believed])] for tensor in batch))
    again = _attacked_once(plan, _model(plan, target, number), target, number, rest)
    return worst_of(outcome, again, rows[believed])


def _model(plan: Plan, target: Target, number: int, network: nn.Module | None = None) -> DefendedModel:
    return plan.attacked(
        target.cell.defense,
        bpda=target.cell.rung == "bpda",
        stream=f"{target.cell.rung}/{target.cell.attack}",
        chain=target.chains[number],
        network=network,
    )


def _attacked_once(plan: Plan, model: DefendedModel, target: Target, number: int, batch: Batch) -> Outcome:
    """Run an attack and judge what it returns by a forward pass of its own."""
    (indices, x, y), cell = batch.to(plan.device), target.cell
    draws = Draws(plan.seed, indices).stream(cell.rung)
    if number > 0:  # the first choice attacks as it would alone
        draws = draws.stream(f"choice {number}")
    levels = levels_of(plan.model)
    with plan.shown.attacking() as query_counts:
        threat = reachable(plan.threat, levels)
        attempt = attempted(plan.attack_of(cell), model, (x, y), threat, draws, name=cell.attack)
        passes = len(model.draws())
        attempt = attempt._replace(steps=passes * attempt.steps, queries=passes * attempt.queries)
        query_counts.append(int(attempt.queries.sum()))
    iterates = as_seen(attempt.x_adv.detach(), levels)
    x_adv = on_levels(plan.threat.project(iterates, x), x, plan.threat, levels)
    with plan.shown.counted_as("judging"):
        judged, smallest = _judge_iterates(plan, cell.defense, (iterates, x_adv, x, y))
    samples = samples_of(cell, batch, judged, attempt).assign(smallest=smallest.double().cpu().numpy())
    return Outcome(samples, x_adv)


@torch.no_grad()
def _judge_iterates(
    plan: Plan, defense: str, images: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Judgement, Tensor]:
    """Judge the examples in the ball, and those that an attack for the smallest perturbation found outside.

    Args:
        plan: who judges.
        defense: behind which defense.
        images: what was found, the same in the ball, clean images, and labels.

    Returns:
        The judgement, and the norms of the smallest perturbations known to fool, NaN where none is.
    """
    iterates, x_adv, x, y = images
    model = plan.judged(defense, plan.judge)
    answers = model.answers(x_adv)
    judged = judge(answers.logits, x_adv, x, y, plan.threat, rule=plan.judge, refused=answers.refused)
    smallest = torch.where(judged.robust, torch.nan, judged.distance)
    wide = replace(plan.threat, eps=1.0 if plan.threat.norm == "linf" else float(x[0].numel()))
    outside = (
        (judged.robust & ~plan.threat.contains(iterates, x) & wide.contains(iterates, x)).nonzero().flatten()
    )
    if len(outside):
        far, near = iterates[outside], x[outside]
        answers = model.answers(far)
        at_any_size = judge(
            answers.logits, far, near, y[outside], wide, rule=plan.judge, refused=answers.refused
        )
        smallest[outside] = torch.where(at_any_size.robust, torch.nan, at_any_size.distance)
    return judged, smallest
