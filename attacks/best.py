"""The best iterate of each image, kept along an attack."""

from dataclasses import dataclass

import torch
from torch import Tensor

from advbench.defended.gradient import Model
from advbench.defended.lanes import LANES
from advbench.defended.model import DefendedModel
from advbench.results.records import LOSS_MARKS

LATE = 10
"""Gradient steps at the end of an attack in which little should still happen (Pintor et al. 2022)."""

NEVER = 3
"""A goal above every rank."""


@dataclass
class Best:
    """What an attack has found so far for a batch of `n` images.

    An image is settled once it has reached the goal: nothing that is offered for it counts any more, so
    that its result does not depend on how long it shares a batch with others.

    Args:
        goal: the rank at which an image is settled.
        x_adv: best iterates, `(n, c, h, w)`; the clean images at first.
        rank: how much each achieves, `(n,)` int64: 0 nothing, more is better; what the ranks mean is the
            attack's business.
        loss: its loss, `(n,)`; breaks ties of rank.
        steps: gradient passes spent on each, `(n,)` int64.
        queries: forward passes spent on each, `(n,)` int64.
        flat: whether every gradient so far was useless (zero, NaN or infinite), `(n,)` bool.
        recent: the loss after each of the last `LATE + 1` gradient steps, the newest last, `(n, LATE + 1)`;
            NaN before there were as many.
        first: the loss after the first gradient step, `(n,)`; NaN before.
        curve: the loss after `LOSS_MARKS` gradient steps, `(n, len(LOSS_MARKS))`; NaN before.
        lanes: batches are filled up to multiples of so many images anyway (see `DefendedModel`).
    """

    goal: int
    x_adv: Tensor
    rank: Tensor
    loss: Tensor
    steps: Tensor
    queries: Tensor
    flat: Tensor
    recent: Tensor
    first: Tensor
    curve: Tensor
    lanes: int = LANES

    @classmethod
    def nothing(cls, model: Model, x: Tensor, goal: int) -> "Best":
        """The state before the first iterate.

        Behind a random defense no image is ever settled: what a few draws call a success is a matter of luck
        near the boundary, and an attack that goes on brings the image further over it. The images of a model
        that adapts to its batch stay together.
        """
        lanes = LANES
        if isinstance(model, DefendedModel):
            goal = NEVER if model.is_random or model.goes_together else goal
            lanes = min(lanes, model.lanes)
        zero = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        loss = torch.full((len(x),), -torch.inf, device=x.device)
        flat = torch.ones(len(x), dtype=torch.bool, device=x.device)
        recent = torch.full((len(x), LATE + 1), torch.nan, device=x.device)
        curve = torch.full((len(x), len(LOSS_MARKS)), torch.nan, device=x.device)
        costs = zero.clone(), zero.clone()
        return cls(goal, x.clone(), zero, loss, *costs, flat, recent, recent[:, 0].clone(), curve, lanes)

    def offer(
        self, rows: Tensor, x_adv: Tensor, rank: Tensor, loss: Tensor, grad: Tensor | None = None
    ) -> None:
        """Take the iterates that beat what is there, and book the forward pass that measured them.

        Args:
            rows: places in the batch that the iterates belong to, `(m,)`.
            x_adv: iterates, `(m, c, h, w)`.
            rank: their ranks, `(m,)`.
            loss: their losses, `(m,)`; NaN counts as the least that there is.
            grad: the gradients there, `(m, c, h, w)`, if that pass took them too.
        """
        unsettled = self.rank[rows] < self.goal
        self._count(rows, unsettled, grad)
        higher = (rank > self.rank[rows]) | ((rank == self.rank[rows]) & (loss > self.loss[rows]))
        better = higher & unsettled
        taken = rows[better]
        self.x_adv[taken] = x_adv[better]
        self.rank[taken] = rank[better]
        self.loss[taken] = ranked(loss[better]).to(self.loss.dtype)
        if grad is not None:
            going_on = rows[unsettled]
            self._remember(going_on)
            self._mark(going_on)

    def _remember(self, rows: Tensor) -> None:
        self.recent[rows] = torch.cat([self.recent[rows, 1:], self.loss[rows, None]], dim=1)
        new = rows[self.first[rows].isnan()]
        self.first[new] = self.loss[new]

    def _mark(self, rows: Tensor) -> None:
        steps = self.steps[rows]
        at = (steps & (steps - 1) == 0) & (steps <= LOSS_MARKS[-1])  # powers of two
        self.curve[rows[at], steps[at].log2().round().long()] = self.loss[rows[at]]

    @property
    def late_gain(self) -> Tensor:
        """Share of the rise of the loss that came in the last `LATE` gradient steps, `(n,)`; see `Attempt`.

        Pintor et al. 2022, indicator 4: the loss curve made monotone and rescaled to [0, 1].
        """
        late, whole = self.recent[:, -1] - self.recent[:, 0], self.recent[:, -1] - self.first
        return torch.where(whole == 0.0, torch.zeros_like(late), late / whole)

    @property
    def losses(self) -> Tensor:
        """The loss after `LOSS_MARKS` gradient steps and now, `(n, len(LOSS_MARKS) + 1)`; see `Attempt`."""
        losses = torch.cat([self.curve, self.loss[:, None]], dim=1)
        return losses.masked_fill(losses == -torch.inf, torch.nan)

    def book(self, rows: Tensor, grad: Tensor | None = None) -> None:
        """Count a forward pass for the images that are not settled, and a gradient if it was taken too.

        Args:
            rows: places in the batch, `(m,)`.
            grad: the gradients, `(m, c, h, w)`.
        """
        unsettled = self.rank[rows] < self.goal
        self._count(rows, unsettled, grad)
        if grad is not None:
            self._mark(rows[unsettled])

    def _count(self, rows: Tensor, unsettled: Tensor, grad: Tensor | None) -> None:
        self.queries[rows] += unsettled.long()
        if grad is not None:
            self.steps[rows] += unsettled.long()
            if bool(self.flat.any()):  # as a rule none is after the first step, and then this costs nothing
                largest = grad.flatten(1).abs().amax(1)  # NaN if any entry is
                self.flat[rows] &= (largest == 0.0) | ~largest.isfinite() | ~unsettled

    def still_wanted(self, rows: Tensor) -> Tensor | None:
        """Which of `rows` to go on with, as an index; None for all of them, or where no shorter size fits.

        All that are not settled stay, and of the others as many as fill the last lanes: up to seven, and none
        where each image that is shown counts, as with a black box.
        """
        return unsettled_first(self.rank[rows] < self.goal, self.lanes)


def unsettled_first(unsettled: Tensor, lanes: int) -> Tensor | None:
    """The unsettled ones of `(m,)` bool, filled up to `lanes` with others, as an index; None for all."""
    count = int(unsettled.sum())
    size = -(-count // lanes) * lanes
    return None if size >= len(unsettled) > 0 else unsettled.argsort(descending=True, stable=True)[:size]


def ranked(loss: Tensor) -> Tensor:
    """Losses `(m,)` that later ones can beat: none is greater than NaN."""
    return loss.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
