"""Auto-PGD: projected gradient descent that chooses its step by itself."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from advbench.defended.gradient import Model, loss_and_gradient
from advbench.draws.draws import Draws
from advbench.errors import SpecError, nearest
from advbench.threat.attack import Attempt
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import AGAINST_A_CLASS, cross_entropy, logit_difference, targeted_dlr
from advbench.threat.threat import Threat

from .best import Best
from .rivals import rivals

APGDLoss = Literal["ce", "margin", "dlr"]

_MOMENTUM = 0.75  # Croce, Hein 2020, eq. 2: alpha
_FIRST, _DECREMENT, _LEAST = 0.22, 0.03, 0.06  # of the steps, section 3.2: when the step is looked at

# Croce, Hein 2021, "Mind the box", section 4: the L1 version.
_L1_LOOK = 0.04  # of the steps
_L1_SHARE = 0.2  # of the entries, that the first steps change
_L1_SPARSER = 1.5  # a step changes so many fewer entries than the best perturbation
_L1_SHRINK, _L1_LEAST = 1.5, 0.1  # how the step shrinks, and down to what part of the first
_L1_STALLED = 0.95  # a perturbation that keeps so many of its entries has grown no sparser
_L1_BALLS = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))  # radii in eps, and for what part of the steps


@dataclass
class _Walk:
    """Where an ascent stands; an entry an image, `(m, ...)`."""

    rows: Tensor  # their places in the batch
    x: Tensor
    y: Tensor
    rival: Tensor
    now: Tensor
    before: Tensor
    grad: Tensor
    loss: Tensor
    best: Tensor
    best_grad: Tensor
    best_loss: Tensor
    step: Tensor
    rises: Tensor  # how often the loss has grown since the last look
    looked_loss: Tensor  # the best loss at the last look
    shrunk: Tensor  # whether the step was made smaller there
    share: Tensor  # L1 alone: of the entries, that a step changes
    entries: Tensor  # L1 alone: of the best perturbation at the last look

    def take(self, which: Tensor | slice) -> "_Walk":
        """The walk of some of the images."""
        return _Walk(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Auto-PGD (Croce, Hein 2020, algorithm 1; in L1 Croce, Hein 2021, "Mind the box").

        z     = P(x_k + step * steepest(grad L(x_k)))
        x_k+1 = P(x_k + alpha (z - x_k) + (1 - alpha)(x_k - x_k-1)),   alpha = 0.75

    The step begins at 2 eps. At checkpoints, at first after 22 % of the steps and then ever more often, it
    is halved, and the walk goes on from its best point, where the loss grew in less than a share `rho` of
    the steps, or where neither step nor best loss have changed since the last one. In L1 a step changes
    some of the pixels only, how many follows the sparsity of the best perturbation, and the walk comes in
    from balls of three and two times the radius.

    Args:
        steps: gradient steps a restart and target.
        loss: `ce`, `margin` (Carlini-Wagner's f6) or `dlr`.
        targets: drive each image to so many of its most likely other classes, one after another, by the
            targeted form of the loss; 0 for the untargeted attack.
        restarts: random starts, each for the images that still stand.
        rho: the share of growing steps below which the step is halved.
        first_step: the step at first, in eps; in L1 half of that.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True
    bfloat16: ClassVar[bool] = True

    steps: int = 100
    loss: APGDLoss = "ce"
    targets: int = 0
    restarts: int = 1
    rho: float = 0.75
    first_step: float = 2.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("targets", 0), ("restarts", 1)):
            if getattr(self, name) < least:
                raise SpecError(f"apgd: {name} must be at least {least}, got {getattr(self, name)}.")
        if not 0.0 < self.rho < 1.0:
            raise SpecError(f"apgd: rho must lie in (0, 1), got {self.rho:g}.")
        if not 0.0 < self.first_step < float("inf"):
            raise SpecError(f"apgd: first_step must be positive, got {self.first_step:g}.")
        if self.loss not in get_args(APGDLoss):
            raise SpecError(f"apgd: there is no loss {self.loss!r}. {nearest(self.loss, get_args(APGDLoss))}")

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        draws: Draws,
        *,
        start: Tensor | None = None,
    ) -> Attempt:
        """Adversarial examples for `x`; see `Attack`, and `WarmAttack` for where the first restart begins."""
        best = Best.nothing(model, x, goal=1)
        everything = torch.arange(len(x), device=x.device)
        for number, rival in enumerate(self._rivals(model, x, y, best)):
            for restart in range(self.restarts):
                wanted = best.still_wanted(everything)
                rows = everything if wanted is None else everything[wanted]
                if len(rows) == 0:
                    break
                stream = draws.take(rows).stream(f"{number}/{restart}")
                images = (rows, x[rows], y[rows], rival[rows])
                warm = None if start is None or restart > 0 else start[rows]
                self._climb(model, images, threat, stream, best, start=warm)
        return Attempt(best.x_adv, best.steps, best.queries, best.flat, best.late_gain, best.losses)

    def _climb(
        self,
        model: Model,
        images: tuple[Tensor, Tensor, Tensor, Tensor],
        threat: Threat,
        draws: Draws,
        best: Best,
        *,
        start: Tensor | None = None,
    ) -> None:
        """One restart against one rival, from a random point if no other; `best` takes what it finds."""
        x, at = images[1], start
        for ball, steps in _balls(threat, self.steps) if start is None else [(threat, self.steps)]:
            first = ball.random_point(x, draws) if at is None else ball.project(at, x)
            begun = _begin(images, first, self._first(ball))
            walk = self._ascend(model, begun, ball, steps, best=best, counts=ball == threat)
            if walk is None:
                return
            at = walk.best

    def _ascend(
        self, model: Model, walk: _Walk, ball: Threat, steps: int, *, best: Best, counts: bool
    ) -> _Walk | None:
        """Climb for some steps; returns where the walk ends, or None where every image has fallen.

        Args:
            model: pixels to logits.
            walk: at its first point.
            ball: to stay in.
            steps: gradient steps.
            best: takes what is found, if it counts, and what it costs in any case.
            counts: whether the ball is the threat's own.
        """
        looks, since = set(_looks(ball, steps)), 0
        for number in range(steps + 1):
            if number > 0:
                _move(walk, ball, first=number == 1)
            self._measure(model, walk, best, counts=counts, gradient=number < steps)
            since += number > 0
            if number in looks:
                _look_l1(walk, self._first(ball)) if ball.norm == "l1" else _look(walk, self.rho * since)
                since = 0
            wanted = best.still_wanted(walk.rows)
            if wanted is not None:
                walk = walk.take(wanted)
                if len(walk.rows) == 0:
                    return None
        return walk

    def _first(self, ball: Threat) -> float:
        """The step at first, in pixel units."""
        return self.first_step * ball.eps * (0.5 if ball.norm == "l1" else 1.0)

    def _measure(self, model: Model, walk: _Walk, best: Best, *, counts: bool, gradient: bool) -> None:
        """Loss and gradient where the walk is now, and whether an image has fallen there."""
        grad = None
        if gradient:
            loss_of = partial(self._loss_of_a_piece, walk.y, walk.rival)
            logits, loss, grad = loss_and_gradient(model, walk.now, loss_of)
        else:
            with torch.no_grad():
                logits = model(walk.now)
                loss = self._loss(logits, walk.y, walk.rival)
        if counts:
            best.offer(walk.rows, walk.now, fooled(predict(logits), walk.y).long(), loss, grad)
        else:
            best.book(walk.rows, grad)
        _note(walk, loss, walk.grad if grad is None else grad)

    def _loss_of_a_piece(self, y: Tensor, rival: Tensor, logits: Tensor, piece: slice) -> Tensor:
        return self._loss(logits, y[piece], rival[piece])

    def _loss(self, logits: Tensor, y: Tensor, rival: Tensor) -> Tensor:
        if self.targets == 0:
            return AGAINST_A_CLASS[self.loss](logits, y)
        if self.loss == "ce":
            return -cross_entropy(logits, rival)
        targeted = targeted_dlr if self.loss == "dlr" else logit_difference
        return targeted(logits, y, rival)

    def _rivals(self, model: Model, x: Tensor, y: Tensor, best: Best) -> list[Tensor]:
        """The classes that each image is driven to, the most likely first; the label itself for none."""
        if self.targets == 0:
            return [y]
        best.book(torch.arange(len(x), device=x.device))
        return rivals(model, x, y, self.targets)


def _balls(threat: Threat, steps: int) -> list[tuple[Threat, int]]:
    """The balls of an ascent with their steps: the threat's own, in L1 after larger ones."""
    if threat.norm != "l1" or steps < len(_L1_BALLS):
        return [(threat, steps)]
    wide = [(replace(threat, eps=factor * threat.eps), int(part * steps)) for factor, part in _L1_BALLS[:-1]]
    return [*wide, (threat, steps - sum(count for _, count in wide))]


def _begin(images: tuple[Tensor, Tensor, Tensor, Tensor], start: Tensor, step: float) -> _Walk:
    rows, x, y, rival = images
    none = torch.full((len(x),), -torch.inf, device=x.device)
    return _Walk(
        rows=rows,
        x=x,
        y=y,
        rival=rival,
        now=start,
        before=start,
        grad=torch.zeros_like(x),
        loss=none,
        best=start,
        best_grad=torch.zeros_like(x),
        best_loss=none,
        step=torch.full_like(none, step),
        rises=torch.zeros_like(none),
        looked_loss=none,
        shrunk=torch.ones_like(rows, dtype=torch.bool),
        share=torch.full_like(none, _L1_SHARE),
        entries=torch.full_like(none, x[0].numel()),
    )


def _looks(ball: Threat, steps: int) -> Iterator[int]:
    """The steps after which the step size is looked at (Croce, Hein 2020, section 3.2; L1: regularly)."""
    if ball.norm == "l1":
        yield from range(max(1, int(_L1_LOOK * steps)), steps, max(1, int(_L1_LOOK * steps)))
        return
    before, now = 0.0, _FIRST
    while (look := math.ceil(round(now * steps, 6))) < steps:
        yield look
        before, now = now, now + max(now - before - _DECREMENT, _LEAST)


def _move(walk: _Walk, ball: Threat, *, first: bool) -> None:
    """One step, with momentum but for the first one and in L1."""
    direction = _sparse(walk.grad, walk.share) if ball.norm == "l1" else ball.steepest(walk.grad)
    # In place: each step of a small network costs as much as a few passes over its images.
    z = ball.project(direction.mul_(_per_image(walk.step, direction)).add_(walk.now), walk.x)
    if not first and ball.norm != "l1":
        drift = (walk.now - walk.before).mul_(1.0 - _MOMENTUM)
        z = ball.project((z - walk.now).mul_(_MOMENTUM).add_(walk.now).add_(drift), walk.x)
    walk.before, walk.now = walk.now, z


def _note(walk: _Walk, loss: Tensor, grad: Tensor) -> None:
    """Book a measured point; a loss that is NaN never counts as higher."""
    walk.rises = walk.rises + (loss > walk.loss)
    higher = loss > walk.best_loss
    walk.best = _choose(higher, walk.now, walk.best)
    walk.best_grad = _choose(higher, grad, walk.best_grad)
    walk.best_loss = torch.where(higher, loss, walk.best_loss)
    walk.loss, walk.grad = loss, grad


def _look(walk: _Walk, enough: float) -> None:
    """Halve the step where the ascent is stuck, and go on from its best point (conditions 1 and 2)."""
    stuck = (walk.rises < enough) | (~walk.shrunk & (walk.best_loss <= walk.looked_loss))
    walk.step = torch.where(stuck, walk.step / 2.0, walk.step)
    walk.shrunk = stuck
    _go_back(walk, stuck)


def _look_l1(walk: _Walk, first: float) -> None:
    """Follow the sparsity of the best perturbation: where it falls, begin anew with the first step."""
    entries = (walk.best != walk.x).flatten(1).sum(1).to(walk.entries)
    sparser = entries < _L1_STALLED * walk.entries
    shrunk = (walk.step / _L1_SHRINK).clamp_min(_L1_LEAST * first)
    walk.step = torch.where(sparser, first, shrunk)
    walk.share = entries / walk.x[0].numel() / _L1_SPARSER
    walk.entries = entries
    _go_back(walk, sparser)


def _go_back(walk: _Walk, which: Tensor) -> None:
    walk.now = _choose(which, walk.best, walk.now)
    walk.grad = _choose(which, walk.best_grad, walk.grad)
    walk.loss = torch.where(which, walk.best_loss, walk.loss)
    walk.rises = torch.zeros_like(walk.rises)
    walk.looked_loss = walk.best_loss


def _sparse(grad: Tensor, share: Tensor) -> Tensor:
    """The signs of the largest entries, so large a share of them, at unit L1 norm; 0 where all vanish."""
    flat = grad.nan_to_num(0.0).flatten(1)
    count = (share * flat.shape[1]).long().clamp(1, flat.shape[1])
    least = flat.abs().sort(1, descending=True).values.gather(1, count.view(-1, 1) - 1)
    signs = torch.where(flat.abs() >= least, flat.sign(), 0.0)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1.0)).view_as(grad)


def _choose(which: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(_per_image(which, one), one, other)


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
