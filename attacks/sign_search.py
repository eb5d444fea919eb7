"""The L-inf search of a hard-label attack: signs are flipped in windows, and the ray gets shorter."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from advbench.draws.draws import Draws

from .rays import Rays
from .square import share_of_windows, signs_of, window_of

_BLOCK = 50  # queries whose numbers are drawn together
_NUMBERS = 2  # a window's corner
_FIRST_SHARE = 0.5  # of the pixels, that the first windows cover
_PRECISE = 0.02  # part of a ray to which its end is searched
_LEAST = 5e-4  # of a pixel's range: no window that gains less is worth a query
_SLACKER = 0.97  # what is asked of a window, after each that failed


@dataclass
class _Strides:
    """By how much each ray is to get shorter with the next query, and what that query is for; `(n,)` each."""

    stride: Tensor
    rising: Tensor
    """Whether the last queries have all shortened the ray, so that the next tries twice as much."""
    halving: Tensor
    """Whether the end of the ray is bisected."""

    @classmethod
    def none(cls, radius: Tensor) -> "_Strides":
        """Before the first query."""
        no = torch.zeros_like(radius, dtype=torch.bool)
        return cls(torch.zeros_like(radius), no, no.clone())

    def learn(self, rows: Tensor, fell: Tensor, first: Tensor, radius: Tensor) -> None:
        """What the answers `fell` `(m,)` say of the next strides.

        Args:
            rows: images that were asked about, `(m,)`.
            fell: whether the point fooled.
            first: whether it was a first direction, at the far end of the box.
            radius: of the rays now.
        """
        stride, rising, halving = self.stride[rows], self.rising[rows], self.halving[rows]
        searching = rising | halving
        up = fell & ~halving & ~first
        proposed_in_vain = ~fell & ~searching
        factor = torch.where(up, 2.0, torch.where(proposed_in_vain, _SLACKER, 0.5))
        stride = torch.where(fell & first, radius / 2.0, stride * factor)
        halving = (halving | (rising & ~fell) | (fell & first)) & ~(stride < _PRECISE * radius)
        idle = ~halving & ~up & ~first
        self.stride[rows] = torch.where(idle, stride.clamp(_LEAST, None).minimum(_PRECISE * radius), stride)
        self.rising[rows], self.halving[rows] = up, halving


def search_signs(rays: Rays, draws: Draws) -> None:
    """Shorten each image's ray through the corners of the L-inf ball, until it ends inside.

    As in RayS (Chen, Gu 2020, algorithm 3) a direction is a pattern of signs, of which a block is flipped;
    what counts is the distance at which the class changes. Differs from the paper: blocks are square windows,
    whose size follows the queries as in Square, because images are smooth in both directions; a flip must
    shorten the ray by a stride that adapts, so that a window that does not help costs one query and one that
    does needs no bisection from the start; and nothing is searched more precisely than the radius asks.

    Args:
        rays: the images' rays; takes what is found.
        draws: the images' random streams.
    """
    strides, x = _Strides.none(rays.radius), rays.x
    rows = rays.wanted()
    numbers = torch.empty(len(x), 0)
    for query in range(rays.budget):
        going = rays.wanted()
        if len(going) == 0:
            return
        if query % _BLOCK == 0:
            rows, stream = going, draws.take(going).stream(query)
            numbers = stream.uniform((_BLOCK, _NUMBERS))
        elif len(going) < len(rows):
            kept = torch.isin(rows, going)
            rows, numbers = rows[kept], numbers[kept]
        first = rays.radius[rows].isinf()
        windows = window_of(x[rows], _side(query, rays), numbers[:, query % _BLOCK])
        signs = rays.direction[rows]
        flipped = torch.where(windows, -signs, signs)
        searching = (strides.rising | strides.halving)[rows]
        direction = torch.where(searching.view(-1, 1, 1, 1), signs, flipped)
        if bool(first.any()):
            new = signs_of(draws.take(rows).stream(f"start {query}").uniform((x.shape[1], 1, x.shape[3])))
            direction = torch.where(first.view(-1, 1, 1, 1), new.expand_as(signs), direction)
        radius = torch.where(first, 1.0, rays.radius[rows] - strides.stride[rows]).clamp_min(rays.goal)
        fell = rays.offer(rows, direction, radius)
        strides.learn(rows, fell, first, rays.radius[rows])


def _side(query: int, rays: Rays) -> int:
    """The side of a window, in pixels."""
    height, width = rays.x.shape[2:]
    share = share_of_windows(query, rays.budget, _FIRST_SHARE)
    return int(max(1, min(round(math.sqrt(share * height * width)), height, width)))
