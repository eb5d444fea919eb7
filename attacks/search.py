"""Where a random search stands: proposals are taken or not, and nothing else is kept."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .best import Best, ranked, unsettled_first


@dataclass
class Search:
    """The images that a search is still busy with; an entry an image, `(m, ...)`.

    It keeps them together in memory, and books what they have cost when they leave: a query of a small
    network takes no longer than the bookkeeping of one.

    Args:
        best: of the whole batch; takes what is noted.
        rows: their places in the batch.
        x: clean images, `(m, c, h, w)`.
        y: labels.
        now: the best images so far, `(m, c, h, w)`.
        rank: what they achieve, as in `Best`.
        loss: their loss.
        asked: forward passes that are not booked yet.
        tried: when each pixel was last part of a proposal, `(m, c h w)`; `(m, 0)` where nobody asks.
    """

    best: Best
    rows: Tensor
    x: Tensor
    y: Tensor
    now: Tensor
    rank: Tensor
    loss: Tensor
    asked: Tensor
    tried: Tensor

    @classmethod
    def begun(cls, best: Best, x: Tensor, y: Tensor, *, remembers: bool = False) -> "Search":
        """At what was found for a whole batch, images `(n, c, h, w)` and labels `(n,)`."""
        rows = torch.arange(len(x), device=x.device)
        now = best.x_adv.clone(memory_format=torch.contiguous_format)
        tried = torch.zeros_like(now, dtype=torch.float32).flatten(1)[:, : None if remembers else 0]
        return cls(best, rows, x, y, now, best.rank.clone(), best.loss.clone(), torch.zeros_like(rows), tried)

    def take(self, which: Tensor) -> "Search":
        """The search of some of the images."""
        tensors = [getattr(self, field.name) for field in fields(self)[1:]]
        return Search(self.best, *(tensor[which] for tensor in tensors))

    def offer(self, x_adv: Tensor, rank: Tensor, loss: Tensor) -> None:
        """Take the proposals that beat what is there; an image that has reached the goal stays as it is.

        Args:
            x_adv: proposals, `(m, c, h, w)`.
            rank: their ranks, `(m,)`.
            loss: their losses, `(m,)`; NaN counts as the least that there is.
        """
        taken = self.judge(rank, loss).nonzero().flatten()
        if len(taken) > 0:
            self.now[taken] = x_adv[taken]

    def judge(self, rank: Tensor, loss: Tensor) -> Tensor:
        """Which proposals beat what is there, `(m,)` bool; their ranks and losses are taken, pixels are not.

        Args:
            rank: as for `offer`.
            loss: as for `offer`.
        """
        unsettled = self.rank < self.best.goal
        self.asked += unsettled
        taken = unsettled & ((rank > self.rank) | ((rank == self.rank) & (loss > self.loss)))
        self.rank = torch.where(taken, rank, self.rank)
        self.loss = torch.where(taken, ranked(loss).to(self.loss.dtype), self.loss)
        return taken

    def still_wanted(self) -> Tensor | None:
        """Which images to go on with, as an index; None for all of them (see `Best.still_wanted`)."""
        return unsettled_first(self.rank < self.best.goal, self.best.lanes)

    def note(self) -> None:
        """Book what was found and what it has cost."""
        best = self.best
        best.x_adv[self.rows] = self.now
        best.rank[self.rows] = self.rank
        best.loss[self.rows] = self.loss
        best.queries[self.rows] += self.asked
        self.asked = torch.zeros_like(self.asked)
