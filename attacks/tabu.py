"""Random search with square windows that remembers what it has tried, and asks for scores alone."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from advbench.defended.gradient import Model
from advbench.draws.draws import Draws
from advbench.errors import SpecError
from advbench.threat.attack import Attempt
from advbench.threat.threat import Threat

from .corners import Written, bounds, upper_left, window
from .search import Search
from .square import (
    BLOCK,
    Square,
    first_query,
    in_blocks,
    rank_and_loss,
    share_of_windows,
    side_of_windows,
    stripes,
)

_PACE = 2  # windows shrink half as fast as Square's
_ROOM = 8  # windows that one is chosen from cover at most this part of an image together: large ones overlap
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Tabu:
    """Square's windows, of which each time the one is tried whose pixels were tried the longest ago.

    In L-inf, as Square, but a proposal is chosen from several: one that changes nothing is none, and the mean
    time since its pixels were last part of a proposal decides, taken or not (memory of recency: Glover 1989,
    "Tabu search, part I", section 2; no direction twice: Guo et al. 2019, "Simple black-box adversarial
    attacks"). Square asks half of its late queries for what it has or has just been refused. Windows
    shrink half as fast. In L2 and L1 it is Square itself.

    Args:
        queries: forward passes an image.
        share: of the pixels, that the first windows cover.
        candidates: windows that a proposal is chosen from.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True

    queries: int = 5000
    share: float = 0.8
    candidates: int = 6

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise SpecError(f"tabu: queries must be at least 1, got {self.queries}.")
        if not 0.0 < self.share <= 1.0:
            raise SpecError(f"tabu: share must lie in (0, 1], got {self.share:g}.")
        if self.candidates < 1:
            raise SpecError(f"tabu: candidates must be at least 1, got {self.candidates}.")

    @torch.no_grad()
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
        """Adversarial examples for `x`; see `Attack` and `WarmAttack`."""
        if threat.norm != "linf":
            square = Square(queries=self.queries, share=self.share)
            return square(model, x, y, threat, draws, start=start)
        search = first_query(
            model, stripes(x, threat, draws) if start is None else start, x, y, remembers=True
        )
        return in_blocks(search, self.queries, partial(self._block, model, threat, draws))

    def _block(self, model: Model, threat: Threat, draws: Draws, search: Search, block: range) -> Search:
        """Some proposals one after another, whose numbers are drawn together; returns what is left."""
        c, width = search.x.shape[1], search.x.shape[3]
        numbers = draws.take(search.rows).stream(block[0]).uniform((BLOCK, self.candidates, 2 + c))
        numbers = numbers[:, : len(block)]
        sides = [self._side(query, search.x) for query in block]
        windows = {side: window(side, width, search.x.device) for side in set(sides)}
        choices = _Choices(
            bounds(search.x, threat), upper_left(search.x, sides, numbers[..., :2]), numbers[..., 2:] >= 0.5
        )
        for place, side in enumerate(sides):
            wanted = search.still_wanted()
            if wanted is not None:
                search.note()
                search, choices = search.take(wanted), choices.take(wanted)
            if len(search.rows) == 0:
                break
            written = choices.write(search, place, windows[side], block[place])
            written.keep(search.now, search.judge(*rank_and_loss(model(search.now), search.y)))
        return search

    def _side(self, query: int, x: Tensor) -> int:
        return side_of_windows(share_of_windows(query, _PACE * self.queries, self.share), x)


class _Choices(NamedTuple):
    """Windows that proposals for `n` images are chosen from: `b` proposals, `k` windows for each."""

    values: Tensor
    """The lower, and then the upper bound of each pixel, `(n, 2 c h w)`."""
    first: Tensor
    """The upper left pixel of each window in each colour, `(n, b, k, c)` int64."""
    upper: Tensor
    """Whether a window moves a colour to its upper bound, `(n, b, k, c)` bool."""

    def take(self, which: Tensor) -> "_Choices":
        return _Choices(*(tensor[which] for tensor in self))

    def write(self, search: Search, place: int, window: Tensor, query: int) -> Written:
        """Write into the images that are searched what was tried the longest ago."""
        n, half = len(search.rows), self.values.shape[1] // 2
        now, rows = search.now.view(n, -1), torch.arange(n, device=search.now.device)
        few = max(1, min(self.first.shape[2], half // (_ROOM * self.first.shape[3] * len(window))))
        pixels = (self.first[:, place, :few, :, None] + window).flatten(2)  # (n, few, c window)
        upper = half * self.upper[:, place, :few].long().repeat_interleave(len(window), dim=2)
        new = self.values.gather(1, (pixels + upper).flatten(1)).view_as(pixels)
        old, tried = (tensor.gather(1, pixels.flatten(1)).view_as(pixels) for tensor in (now, search.tried))
        change = (new - old).abs()
        moved = change.sum(2)
        waited = (change * (query - tried)).sum(2) / moved.clamp_min(_TINY)
        chosen = rows, torch.where(moved > _TINY, waited, -1.0).argmax(1)
        pixels, new, old, tried = pixels[chosen], new[chosen], old[chosen], tried[chosen]
        idle = moved[chosen] <= _TINY
        other = self.values.gather(1, pixels + (half - upper[chosen]))
        new = torch.where(idle[:, None], other, new)
        now.scatter_(1, pixels, new)
        search.tried.scatter_(1, pixels, torch.where(new != old, float(query), tried))
        return Written(pixels, new, old)
