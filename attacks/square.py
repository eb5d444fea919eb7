"""Square attack: random search with squares, which asks for scores alone and never for a gradient."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import torch
from torch import Tensor

from advbench.defended.gradient import Model
from advbench.draws.draws import Draws
from advbench.errors import SpecError
from advbench.threat.attack import Attempt
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import margin
from advbench.threat.norms import l1_norm, l2_norm
from advbench.threat.threat import Threat

from .best import Best
from .corners import Corners
from .search import Search

# Andriushchenko, Croce, Flammarion, Hein 2020, appendix: of 10,000 queries, when the share of pixels halves.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE = 10_000
BLOCK: Final = 50
"""Proposals whose numbers are drawn together."""


@dataclass(frozen=True, kw_only=True)
class Square:
    """Random search over square windows (Andriushchenko, Croce, Flammarion, Hein 2020, algorithms 1 to 3).

    Each proposal changes one window of the best image found so far, in L-inf to a corner of the ball, a
    colour at a time, in L2 and L1 by moving the budget of a second window into the first; it is kept where
    the margin grows. Windows shrink along the search. L1 as in Croce, Hein 2021, "Mind the box", section 5.

    Args:
        queries: forward passes an image.
        share: of the pixels, that the first windows cover.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True

    queries: int = 5000
    share: float = 0.8

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise SpecError(f"square: queries must be at least 1, got {self.queries}.")
        if not 0.0 < self.share <= 1.0:
            raise SpecError(f"square: share must lie in (0, 1], got {self.share:g}.")

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
        if start is None:
            start = stripes(x, threat, draws) if threat.norm == "linf" else tiles(x, threat, draws)
        search = first_query(model, start, x, y)
        return in_blocks(search, self.queries, partial(self._block, model, threat, draws))

    def _block(self, model: Model, threat: Threat, draws: Draws, search: Search, block: range) -> Search:
        """Some proposals one after another, whose numbers are drawn together; returns what is left."""
        c = search.x.shape[1]
        numbers = draws.take(search.rows).stream(block[0]).uniform((BLOCK, 5 + c))[:, : len(block)]
        sides = [self._side(query, search.x) for query in block]
        corners = Corners.of(search.x, threat, sides, numbers) if threat.norm == "linf" else None
        for place, side in enumerate(sides):
            wanted = search.still_wanted()
            if wanted is not None:
                search.note()
                search, numbers = search.take(wanted), numbers[wanted]
                corners = None if corners is None else corners.take(wanted)
            if len(search.rows) == 0:
                break
            if corners is None:
                x_adv = window_lp(search.now, search.x, threat, side, numbers[:, place])
                search.offer(x_adv, *rank_and_loss(model(x_adv), search.y))
            else:
                written = corners.write(search.now, place)
                written.keep(search.now, search.judge(*rank_and_loss(model(search.now), search.y)))
        return search

    def _side(self, query: int, x: Tensor) -> int:
        """The side of a window: its share of the pixels halves at fixed parts of the queries."""
        return side_of_windows(share_of_windows(query, self.queries, self.share), x)


def first_query(model: Model, start: Tensor, x: Tensor, y: Tensor, *, remembers: bool = False) -> Search:
    """A search that has asked for `start`, `(n, c, h, w)`; see `Search`."""
    best = Best.nothing(model, x, goal=1)
    best.offer(torch.arange(len(x), device=x.device), start, *rank_and_loss(model(start), y))
    return Search.begun(best, x, y, remembers=remembers)


def in_blocks(search: Search, queries: int, block_of: Callable[[Search, range], Search]) -> Attempt:
    """What a search has come to after so many queries, the first among them.

    Args:
        search: after its first query.
        queries: forward passes an image.
        block_of: makes the queries of a range, and returns the images that are left.
    """
    for first in range(1, queries, BLOCK):
        search = block_of(search, range(first, min(first + BLOCK, queries)))
        if len(search.rows) == 0:
            break
    search.note()
    best = search.best
    return Attempt(best.x_adv, best.steps, best.queries, torch.zeros_like(best.flat))


def rank_and_loss(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What a proposal achieves, 0 or 1, and its margin; `(n,)` both."""
    return fooled(predict(logits), y).long(), margin(logits, y)


def side_of_windows(share: float, x: Tensor) -> int:
    """The side of square windows that cover a share of the pixels of images `(n, c, h, w)`."""
    return int(max(1, min(round(math.sqrt(share * x.shape[2] * x.shape[3])), *x.shape[2:])))


def share_of_windows(query: int, queries: int, first: float) -> float:
    """The share of the pixels that a window covers at one of the queries, halved again and again."""
    passed = query * _SCHEDULE // queries
    halvings = sum(passed > part for part in _HALVINGS)
    return first * 0.5**halvings


def stripes(x: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Vertical stripes a pixel wide, a sign each and colour (section 3.3)."""
    signs = signs_of(draws.stream("stripes").uniform((x.shape[1], 1, x.shape[3])))
    return threat.project(x + threat.eps * signs, x)


def tiles(x: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """A grid of five by five bumps, a sign each and colour (section 3.4)."""
    side = max(1, min(x.shape[2:]) // 5)
    down, across = x.shape[2] // side, x.shape[3] // side
    signs = signs_of(draws.stream("tiles").uniform((x.shape[1], down, across)))
    bumps = torch.kron(signs, bump(side).to(x))
    delta = torch.zeros_like(x)
    delta[:, :, : bumps.shape[2], : bumps.shape[3]] = bumps
    return _on_sphere(delta, x, threat)


def window_lp(x_best: Tensor, x: Tensor, threat: Threat, side: int, numbers: Tensor) -> Tensor:
    """The best images with the budget of one window moved into another (algorithm 3).

    Args:
        x_best: best images so far, `(n, c, h, w)`.
        x: clean images, same shape.
        threat: the ball.
        side: of the windows, in pixels.
        numbers: draws in [0, 1), `(n, >= 5 + c)`.
    """
    n, c = x.shape[:2]
    side = min(max(3, side + (side + 1) % 2), *x.shape[2:])
    delta = x_best - x
    first, second = window_of(x, side, numbers[:, :2]), window_of(x, side, numbers[:, 2:4])
    shape = bump(side).to(x)
    shape = torch.where(numbers[:, 4].view(-1, 1, 1) < 0.5, shape, shape.T)[:, None]
    new = shape * signs_of(numbers[:, 5 : 5 + c])[:, :, None, None]
    old = delta[first.expand_as(delta)].view(n, c, side, side)
    mixed = new + old / _length(old, threat).clamp_min(_TINY)
    new = torch.where(_length(mixed, threat) > _TINY, mixed, new)  # a window of one pixel may cancel
    budget = _budget(delta, first | second, threat)
    new = new / _length(new, threat).clamp_min(_TINY) * budget
    delta = torch.where(second, 0.0, delta)
    delta[first.expand_as(delta)] = new.flatten()
    return _on_sphere(delta, x, threat)


def _budget(delta: Tensor, windows: Tensor, threat: Threat) -> Tensor:
    """The length that a colour's new window may have: that of both windows, and a share of what is unused.

    In L2 lengths add up as squares, in L1 as they are; `(n, c, 1, 1)`.
    """
    power = 2.0 if threat.norm == "l2" else 1.0
    whole = delta.flatten(1).abs().pow(power).sum(1).view(-1, 1, 1, 1)
    unused = (threat.eps**power - whole).clamp_min(0.0) / delta.shape[1]
    budget: Tensor = (unused + _length(delta * windows, threat).pow(power)).pow(1.0 / power)
    return budget


def _on_sphere(delta: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """The images changed by as much of a perturbation as the ball allows, in the box."""
    size = l2_norm(delta) if threat.norm == "l2" else l1_norm(delta)
    return (x + threat.eps * delta / size.clamp_min(_TINY).view(-1, 1, 1, 1)).clamp(0.0, 1.0)


def bump(side: int) -> Tensor:
    """A square of two opposite humps of unit length, `(side, side)` (section 3.4, figure 2)."""
    if side < 3:
        return torch.full((side, side), 1.0 / side)
    half = side // 2
    shape = torch.cat([_hump(half, side), -_hump(side - half, side)])
    unit: Tensor = shape / torch.linalg.vector_norm(shape)
    return unit


def _hump(height: int, width: int) -> Tensor:
    """Rectangles round one centre, each ring adding less: `sum_k 1 / (k + 1)^2`."""
    shape = torch.zeros(height, width)
    row, column = height // 2, width // 2
    for ring in range(max(row, column) + 1):
        top, left = max(row - ring, 0), max(column - ring, 0)
        shape[top : row + ring + 1, left : column + ring + 1] += 1.0 / (ring + 1) ** 2
    unit: Tensor = shape / torch.linalg.vector_norm(shape)
    return unit


def window_of(x: Tensor, side: int, corners: Tensor) -> Tensor:
    """Where a window of each image is, `(n, 1, h, w)` bool; `corners` are draws in [0, 1), `(n, 2)`."""
    room = torch.tensor([x.shape[2] - side + 1, x.shape[3] - side + 1], device=x.device)
    top, left = (corners * room).long().unbind(1)
    rows, columns = (torch.arange(length, device=x.device) for length in x.shape[2:])
    down = (rows >= top[:, None]) & (rows < top[:, None] + side)
    across = (columns >= left[:, None]) & (columns < left[:, None] + side)
    return (down[:, :, None] & across[:, None, :])[:, None]


def signs_of(uniform: Tensor) -> Tensor:
    """A sign for each draw in [0, 1), of the same shape."""
    return torch.where(uniform < 0.5, -1.0, 1.0)


def _length(delta: Tensor, threat: Threat) -> Tensor:
    """Length of each colour in the threat's norm, `(n, c, 1, 1)`."""
    order = 2 if threat.norm == "l2" else 1
    length: Tensor = torch.linalg.vector_norm(delta, ord=order, dim=(2, 3), keepdim=True)
    return length


_TINY = 1e-12
