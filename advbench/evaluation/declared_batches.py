"""Models that adapt at test time: attacked and judged in the batches, and the order, that a user declares.

A batch is attacked whole. The best iterates of its images come from different steps and have never met, so
what an attack returns is judged together afresh, beside the single iterate at which most images had fallen
and a mixture of both; the batch in which most have fallen is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, batches
from advbench.defended.adaptation import Adaptation
from advbench.defended.adapting import Episode, Gradient, adapting_in
from advbench.defended.mates import Mates
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.evaluation.attack_batch import RungDone, Target, samples_of
from advbench.evaluation.by_label import attempted
from advbench.evaluation.plan import Plan
from advbench.results.records import UNDEFENDED, Rung
from advbench.results.table import Cell
from advbench.threat.attack import Attack, Attempt
from advbench.threat.judge import Judgement, fooled, judge, predict
from advbench.threat.losses import margin


class _Way(NamedTuple):
    """One run of an attack on a batch."""

    gradient: Gradient
    by_margin: bool = False
    """Whether an attack that climbs the cross-entropy climbs the margin instead."""


_ONE_WAY: Final = (_Way("whole"),)
_WAYS: Final[Mapping[Rung, tuple[_Way, ...]]] = {
    "shattered": (*_ONE_WAY, _Way("whole", by_margin=True)),
    "bpda": (_Way("held"), _Way("held", by_margin=True), _Way("static")),
}
"""One after another on all images of a batch, while some of them stand."""


class _Judged(NamedTuple):
    """Images of a batch, judged in it."""

    x_adv: Tensor
    judgement: Judgement
    after: nn.Module
    """The model as the batch has left it."""

    @property
    def fallen(self) -> int:
        """How many have fallen."""
        return int((~self.judgement.robust).sum())


@dataclass
class _Most:
    """The iterate at which most images of a batch had fallen at once.

    Args:
        y: their labels.
        x_adv: the iterate; None before the first.
        rank: how many had fallen, and their margins.
    """

    y: Tensor
    x_adv: Tensor | None = None
    rank: tuple[float, float] = field(default=(-1.0, 0.0))

    @torch.no_grad()
    def see(self, x: Tensor, logits: Tensor) -> None:
        """Take an iterate that is better than those before."""
        fixed = logits.detach()
        rank = float(fooled(predict(fixed), self.y).sum()), float(margin(fixed, self.y).nan_to_num(0.0).sum())
        if rank > self.rank:
            self.rank, self.x_adv = rank, x.detach().clone()


class Declared:
    """One row of a model that adapts, under one of its rungs, batch after batch.

    Args:
        plan: the evaluation.
        cell: the row, the attack and the rung.
        adaptation: how the model adapts.
    """

    def __init__(self, plan: Plan, cell: Cell, adaptation: Adaptation) -> None:
        adapting = adapting_in(plan.model)
        assert adapting is not None  # the defended model has looked
        self.plan, self.cell, self.adaptation = plan, cell, adaptation
        self.state = self.initial = adapting.initial

    @property
    def is_stream(self) -> bool:
        """Whether a batch finds what the one before has left."""
        return self.adaptation.protocol == "stream"

    def batches(self, indices: Sequence[int]) -> Iterator[Batch]:
        """The declared batches of the run's images, in its order."""
        return batches(self.plan.dataset, indices, self.adaptation.batch)

    @torch.no_grad()
    def judged(self, batch: Batch, rows: Tensor, x_adv: Tensor, *, clean: bool = False) -> _Judged:
        """Judge some images of a batch in it; the others are clean."""
        plan, (_, x, y) = self.plan, batch
        episode, rule = Episode(self.state), plan.judge.of_clean if clean else plan.judge
        model = plan.judged(self.cell.defense, rule).in_batch(Mates(x, rows), episode)
        with plan.shown.counted_as("judging"):
            logits = model.answers(x_adv).logits
        judgement = judge(logits, x_adv, x[rows], y[rows], plan.threat, rule=rule, clean=clean)
        assert episode.after is not None
        return _Judged(x_adv, judgement, episode.after)

    def left_by(self, after: nn.Module) -> None:
        """A batch was judged, and the next one of a stream finds this."""
        self.state = after if self.is_stream else self.initial

    def attacked(self, batch: Batch, rows: Tensor) -> tuple[pd.DataFrame, Tensor]:
        """Attack some images of a batch together, or each by itself; their records and examples."""
        one_by_one = self.adaptation.attacked == "one"
        groups = [row.view(1) for row in rows] if one_by_one else [rows]
        outcomes = [self._together(batch, group) for group in groups]
        if one_by_one:
            everything = torch.arange(len(batch.y), device=batch.y.device)
            self.left_by(self.judged(batch, everything, batch.x, clean=True).after)
        else:
            self.left_by(outcomes[0][0].after)
        records = []
        for group, (judged, attempt) in zip(groups, outcomes, strict=True):
            part = Batch(*(tensor[group] for tensor in batch))
            records.append(samples_of(self.cell, part, judged.judgement, attempt))
        return pd.concat(records, ignore_index=True), torch.cat([judged.x_adv for judged, _ in outcomes])

    def _together(self, batch: Batch, rows: Tensor) -> tuple[_Judged, Attempt]:
        """The batch in which most of some images have fallen, of all that the attack comes to."""
        spent, tried = list[Attempt](), list[_Judged]()
        for number, way in enumerate(_WAYS.get(self.cell.rung, _ONE_WAY)):
            attempt, candidates = self._attempt(batch, rows, way, number)
            spent.append(attempt)
            tried += [self.judged(batch, rows, x_adv) for x_adv in candidates]
            if len(tried) > 1:
                tried.append(self.judged(batch, rows, _mixed(tried)))
            if max(judged.fallen for judged in tried) == len(rows):
                break
        return max(tried, key=lambda judged: judged.fallen), spent[-1]._replace(
            steps=sum((one.steps for one in spent), torch.zeros_like(rows)),
            queries=sum((one.queries for one in spent), torch.zeros_like(rows)),
            flat=torch.stack([one.flat for one in spent]).all(0),
        )

    def _attempt(self, batch: Batch, rows: Tensor, way: _Way, number: int) -> tuple[Attempt, list[Tensor]]:
        """One run of the attack, and what it found in the ball."""
        plan, cell, (indices, x, y) = self.plan, self.cell, batch
        draws = Draws(plan.seed, indices[rows]).stream("shattered" if cell.rung == "static" else cell.rung)
        images = (x[rows], y[rows])
        if cell.rung == "static":
            model = plan.attacked(UNDEFENDED, stream=f"shattered/{cell.attack}")
            attempt = self._run(plan.attack_of(cell), model, images, draws)
            nothing = torch.zeros_like(rows)
            replayed = Attempt(attempt.x_adv, nothing, nothing, nothing.bool())
            return replayed, [plan.threat.project(attempt.x_adv.detach(), x[rows])]
        most = _Most(y[rows])
        model = plan.attacked(cell.defense, bpda=cell.rung == "bpda", stream=f"{cell.rung}/{cell.attack}")
        model = model.in_batch(Mates(x, rows, most.see), Episode(self.state, way.gradient))
        attack = _by_margin(plan.attack_of(cell)) if way.by_margin else plan.attack_of(cell)
        draws = draws.stream(f"choice {number}") if number > 0 else draws
        attempt = self._run(attack, model, images, draws)
        points = [attempt.x_adv, *([] if most.x_adv is None else [most.x_adv])]
        return attempt, [plan.threat.project(point.detach(), x[rows]) for point in points]

    def _run(
        self, attack: Attack, model: DefendedModel, images: tuple[Tensor, Tensor], draws: Draws
    ) -> Attempt:
        plan, cell = self.plan, self.cell
        with plan.shown.attacking() as query_counts:
            attempt = attempted(attack, model, images, plan.threat, draws, name=cell.attack)
            query_counts.append(int(attempt.queries.sum()))
        return attempt


def _mixed(tried: Sequence[_Judged]) -> Tensor:
    """Each image as it was in the batch of most fallen ones, or else in one in which it fell."""
    best = max(tried, key=lambda judged: judged.fallen)
    x_adv, standing = best.x_adv.clone(), best.judgement.robust.clone()
    for judged in tried:
        taken = standing & ~judged.judgement.robust
        x_adv[taken] = judged.x_adv[taken]
        standing &= judged.judgement.robust
    return x_adv


def _by_margin(attack: Attack) -> Attack:
    """The attack on the margin, where it climbs the cross-entropy.

    The sum of that over a batch is carried by the images that have fallen: their gradient is large where that
    of a safe image is nearly zero, and through the adaptation it is the gradient of the others' pixels too.
    """
    own: Any = attack
    if getattr(own, "loss", None) != "ce" or "loss" not in getattr(own, "__dataclass_fields__", {}):
        return attack
    by_margin: Attack = replace(own, loss="margin")
    return by_margin


def declared_rung(
    plan: Plan, target: Target, own: pd.DataFrame, known: Set[int], check: Callable[[Batch], None]
) -> Iterator[RungDone]:
    """Attack a model that adapts on one rung, in declared batches; those that are known are not done again.

    A stream whose last batch is not known begins anew: what it has come to is nowhere else.

    Args:
        plan: the evaluation.
        target: what is attacked.
        own: the records of its clean images, in the order of the run.
        known: the images that an earlier start has done.
        check: is told each batch before it is attacked.
    """
    adaptation, cell = plan.adaptation(target.cell.defense), target.cell
    assert adaptation is not None
    declared, order = Declared(plan, cell, adaptation), own["index"].tolist()
    right = set(own[own["robust"]]["index"])
    if known >= set(order):
        return
    for batch in declared.batches(order):
        indices = batch.indices.tolist()
        if known >= set(indices) and not declared.is_stream:
            continue
        check(batch)
        rows = torch.tensor([place for place, index in enumerate(indices) if index in right])
        on_device = batch.to(plan.device)
        if len(rows):
            samples, x_adv = declared.attacked(on_device, rows.to(plan.device))
            done = RungDone(cell, samples, x_adv).without(known)
            if len(done.samples):
                yield done
        elif declared.is_stream:
            everything = torch.arange(len(indices), device=plan.device)
            declared.left_by(declared.judged(on_device, everything, on_device.x, clean=True).after)
        rest = own[own["index"].isin(indices) & ~own["index"].isin(right) & ~own["index"].isin(known)]
        if len(rest):
            yield RungDone(cell, rest.assign(rung=cell.rung, attack=cell.attack), None)
