"""The indicators of attack failure, measured on a few of the run's images."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from advbench.data.batches import Batch
from advbench.defended.attacked_as import attacked_as
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.evaluation.by_label import alike
from advbench.evaluation.grade_gradients import foretold_differences, true_differences
from advbench.evaluation.pixel_levels import levels_of, on_levels, reachable
from advbench.evaluation.plan import Links, Plan
from advbench.results.indicators import Indicator, added
from advbench.results.records import Rung
from advbench.results.table import Cell
from advbench.speed.batch_size import in_batches
from advbench.threat.attack import Attack
from advbench.threat.judge import judge
from advbench.threat.losses import cross_entropy, dlr, margin
from advbench.threat.threat import Threat

PROBED: Final = 32
"""Images that are looked at."""

_BOX = 8 / 255
_JUST_INSIDE = 1e-4  # far above what normalisation rounds, far below a step of 1/255
_POINTS = 20  # of a box, and of the ball
_SUMS_TO_ONE = 1e-5
_LEAST_CLASSES = 4
_LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "ce": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}


class Subject(NamedTuple):
    """What is looked at: a defended model along one of its gradients."""

    defense: str
    rung: Rung
    chain: Links


def measured(
    plan: Plan, subjects: Sequence[Subject], records: Mapping[Cell, pd.DataFrame]
) -> tuple[Indicator, ...]:
    """Measure all indicators.

    Args:
        plan: the evaluation.
        subjects: what to look at; each defense's last one is attacked with too.
        records: what the rungs have come to, on this process's share of the images.

    Returns:
        One an indicator, defense, attack and rung; `incomplete` comes from the records instead.
    """
    last = {subject.defense: subject for subject in subjects}
    indicators: list[Indicator] = []
    for subject in subjects:
        clean = records[Cell(subject.defense, "", "clean")]
        right = set(clean[clean["robust"]]["index"])
        images = [index for index in plan.probe(subject.defense, PROBED) if index in right]

        def work(batch: Batch, subject: Subject = subject) -> list[Indicator]:
            batch_indicators: list[Indicator] = []
            for part in alike(batch, apart=plan.refuses(subject.defense)):
                probe = _Probe(plan, subject, part.to(plan.device))
                batch_indicators += probe.gradient_alone()
                if last[subject.defense] is subject:
                    for name in plan.attacks:
                        cell = Cell(subject.defense, name, subject.rung)
                        batch_indicators += probe.attacked(name, records[cell])
            return batch_indicators

        for outcomes in in_batches(plan.dataset, images, plan.size_for(subject.defense), work):
            indicators += outcomes
    return added(indicators)


class _Probe:
    """One batch of images behind one defense, along one gradient; of one label where it may refuse."""

    def __init__(self, plan: Plan, subject: Subject, batch: Batch) -> None:
        self.plan, self.subject, self.batch = plan, subject, batch
        self.model = self._model("probe")
        self.judged = plan.judged(subject.defense, plan.judge)
        self.draws = Draws(plan.seed, batch.indices).stream("probe")

    def _model(self, stream: str) -> DefendedModel:
        model = self.plan.attacked(
            self.subject.defense,
            bpda=self.subject.rung == "bpda",
            stream=stream,
            chain=self.subject.chain,
        )
        return model.against(int(self.batch.y[0]))

    def gradient_alone(self) -> list[Indicator]:
        """What does not depend on an attack."""
        return [*self.flags(), *self.gradients(), self.border(), self.agreement(), self.unstable()]

    def _indicator(self, name: str, part: float, whole: float, attack: str = "") -> Indicator:
        about_the_model = name in ("softmax_output", "few_classes", "autograd_in_forward")
        return Indicator(
            defense=self.subject.defense,
            attack=attack,
            rung="clean" if about_the_model else self.subject.rung,
            name=name,
            part=part,
            whole=whole,
        )

    def flags(self) -> Iterator[Indicator]:
        """AutoAttack's flags of the model as it is (Croce, Hein 2020; `checks.py` of its package)."""
        x = self.batch.x
        with _gradients_counted() as count, torch.no_grad():
            logits = self.judged(x)
        inside = bool(((logits >= 0.0) & (logits <= 1.0)).all())
        summed = bool(((logits.sum(1) - 1.0).abs() < _SUMS_TO_ONE).all())
        yield self._indicator("softmax_output", float(inside and summed) * len(x), len(x))
        yield self._indicator("few_classes", float(logits.shape[1] < _LEAST_CLASSES) * len(x), len(x))
        yield self._indicator("autograd_in_forward", float(count[0] > 0) * len(x), len(x))

    def gradients(self) -> Iterator[Indicator]:
        """Which images have no gradient, under each loss; and how many coordinates have none."""
        x, y = self.batch.x, self.batch.y
        for name, loss in _LOSSES.items():
            grad = loss_and_gradient(self.model, x, partial(_of, loss, y)).grad.flatten(1)
            largest = grad.abs().amax(1)  # NaN if any entry is
            flat = (largest == 0.0) | ~largest.isfinite()
            yield self._indicator(f"zero_gradient:{name}", float(flat.sum()), len(x))
            if name == "margin":
                yield self._indicator("zero_coordinates", float((grad == 0.0).sum()), grad.numel())

    def border(self) -> Indicator:
        """How much of the gradient is lost where pixels lie at 0 and 1, as they do in an attack's iterates.

        Pixels near the border are put on it. Of the gradient just inside, in L1 over these pixels, the part
        that falls to those whose gradient on the border is exactly zero; the mean over images.
        """
        x, y = self.batch.x, self.batch.y
        low, high = x <= _BOX, x >= 1.0 - _BOX
        on = x.masked_fill(low, 0.0).masked_fill(high, 1.0)
        within = on.masked_fill(low, _JUST_INSIDE).masked_fill(high, 1.0 - _JUST_INSIDE)
        lost, there = (
            loss_and_gradient(self.model, point, partial(_of, margin, y)).grad.nan_to_num()
            for point in (on, within)
        )
        meant = (there.abs() * (low | high)).flatten(1)
        part = (meant * (lost.flatten(1) == 0.0)).sum(1) / meant.sum(1)
        # Where nothing at all has a gradient the border is not to blame.
        counts = (meant.sum(1) > 0.0) & (lost.flatten(1).abs().amax(1) > 0.0)
        return self._indicator("border_gradient", float(part[counts].sum()), float(counts.sum()))

    def agreement(self) -> Indicator:
        """Cosine of the gradient with a finite-difference estimate of the defended loss (`grading`)."""
        x, y, threat = self.batch.x, self.batch.y, self.plan.threat
        grad = loss_and_gradient(self.model, x, lambda z, piece: margin(z, y[piece])).grad.nan_to_num()
        d = true_differences(self.model, (x, y), threat, self.draws)
        p = foretold_differences(grad, x, threat, self.draws)
        norms = (d.square().sum(1) * p.square().sum(1)).sqrt()
        moved = d.square().sum(1) > 0.0  # where the loss does not move, no gradient is right or wrong
        cosines = torch.where(norms > 0.0, (d * p).sum(1) / norms, torch.zeros_like(norms))
        return self._indicator("agreement", float(cosines[moved].sum()), float(moved.sum()))

    @torch.no_grad()
    def unstable(self) -> Indicator:
        """Pintor et al. 2022, indicator 2: mean of |L(x) - L(x + u)| / |L(x)|, at most 1, `u` in a box."""
        x, y = self.batch.x, self.batch.y
        loss = margin(self.model(x), y)
        shape, total = tuple(x.shape[1:]), torch.zeros_like(loss)
        for number in range(_POINTS):
            u = self.draws.stream(f"box {number}").uniform(shape).to(x)
            near = (x + _BOX * (u - 0.5)).clamp(0.0, 1.0)
            change = (margin(self.model(near), y) - loss).abs()
            total += torch.where(loss == 0.0, 1.0, (change / loss.abs()).nan_to_num(1.0).clamp(max=1.0))
        return self._indicator("unstable", float((total / _POINTS).sum()), len(x))

    def attacked(self, name: str, records: pd.DataFrame) -> Iterator[Indicator]:
        """What other attacks, and other radii, do to the images that the attack left or felled."""
        threat, attack, n = self.plan.threat, self.plan.attacks[name], len(self.batch.x)
        known = records.set_index("index")["robust"].loc[self.batch.indices.tolist()]
        left = torch.from_numpy(known.to_numpy(dtype=bool, copy=True)).to(self.batch.y.device)

        def share(indicator: str, shown: Tensor) -> Indicator:
            return self._indicator(indicator, float(shown.sum()), n, name)

        whole = Threat(threat.norm, _whole_range(threat, self.batch.x))
        yield share("unbounded", self._standing(attack, whole, name))
        if threat.norm != "linf" or 2 * threat.eps <= 1.0:
            wider = self._standing(attack, Threat(threat.norm, 2 * threat.eps), name)
            yield share("wider", wider & ~left)
        yield share("one_step", left & ~self._judged(self._one_step(), threat))
        yield share("noise", left & ~self._noisy(left))
        yield share("plateau", left & ~self._standing(_harder(attack), threat, f"{name}/again", left))

    def _one_step(self) -> Tensor:
        x, y = self.batch.x, self.batch.y
        grad = loss_and_gradient(self.model, x, lambda z, piece: cross_entropy(z, y[piece])).grad.nan_to_num()
        threat = self.plan.threat
        return threat.project(x + threat.eps * threat.steepest(grad), x)

    def _noisy(self, left: Tensor) -> Tensor:
        """Which images stand at every one of some random points of the ball, `(n,)`."""
        standing = left.clone()
        for number in range(_POINTS if bool(left.any()) else 0):
            point = self.plan.threat.random_point(self.batch.x, self.draws.stream(f"noise {number}"))
            standing &= self._judged(point, self.plan.threat)
        return standing

    def _standing(self, attack: Attack, threat: Threat, name: str, rows: Tensor | None = None) -> Tensor:
        """Which images stand after an attack, `(n,)`; those that are not in `rows` do."""
        x, y = self.batch.x, self.batch.y
        rows = torch.ones_like(y, dtype=torch.bool) if rows is None else rows
        standing = torch.ones_like(rows)
        if bool(rows.any()):
            draws = self.draws.take(rows.nonzero().flatten()).stream(name)
            model = attacked_as(attack, self._model(f"probe/{name}"), draws)
            within = reachable(threat, levels_of(self.plan.model))
            attempt = attack(model, x[rows], y[rows], within, draws)
            x_adv = x.clone()
            x_adv[rows] = threat.project(attempt.x_adv.detach(), x[rows])
            standing[rows] = self._judged(x_adv, threat)[rows]
        return standing

    @torch.no_grad()
    def _judged(self, x_adv: Tensor, threat: Threat) -> Tensor:
        x_adv = on_levels(x_adv, self.batch.x, threat, levels_of(self.plan.model))
        answers, rule = self.judged.answers(x_adv), self.plan.judge
        x, y, refused = self.batch.x, self.batch.y, answers.refused
        return judge(answers.logits, x_adv, x, y, threat, rule=rule, refused=refused).robust


def _of(loss: Callable[[Tensor, Tensor], Tensor], y: Tensor, logits: Tensor, piece: slice) -> Tensor:
    return loss(logits, y[piece])


def _whole_range(threat: Threat, x: Tensor) -> float:
    """A radius that lets every pixel become anything."""
    pixels = x[0].numel()
    return {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels)}[threat.norm]


def _harder(attack: Attack) -> Attack:
    """The attack with twice the steps or queries, where it has any."""
    own: Any = attack
    known = getattr(own, "__dataclass_fields__", {})
    more = {name: 2 * getattr(own, name) for name in ("steps", "queries") if name in known}
    harder: Attack = replace(own, **more) if more else attack
    return harder


@contextmanager
def _gradients_counted() -> Iterator[list[int]]:
    """How often gradients are computed meanwhile."""
    count = [0]

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **others: Any) -> Any:
            count[0] += 1
            return function(*words, **others)

        return counted

    autograd: Any = torch.autograd
    before = autograd.grad, autograd.backward
    autograd.grad, autograd.backward = map(counting, before)
    try:
        yield count
    finally:
        autograd.grad, autograd.backward = before
