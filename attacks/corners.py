"""Square windows at corners of the L-inf ball, written into images a few pixels at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advbench.threat.threat import Threat


class Written(NamedTuple):
    """What a proposal writes into each of `n` images, and what stood there."""

    pixels: Tensor
    """Which pixels, by their number in an image, `(n, m)` int64."""
    new: Tensor
    """Their values in the proposal, `(n, m)`."""
    old: Tensor
    """Their values before, `(n, m)`."""

    def keep(self, now: Tensor, taken: Tensor) -> None:
        """Give the images `(n, c, h, w)` that were not `taken`, `(n,)` bool, their pixels back."""
        now.flatten(1).scatter_(1, self.pixels, torch.where(taken[:, None], self.new, self.old))


class Corners(NamedTuple):
    """Proposals for a batch of `n` images (Andriushchenko et al. 2020, algorithm 2), `b` of them each.

    Each moves one window to a corner of the ball, a colour at a time; what a window holds is known before
    the search comes to it, so that a proposal costs what the window covers and no copy of an image.
    """

    values: Tensor
    """The lower, and then the upper bound of each pixel, `(n, 2 c h w)`."""
    first: Tensor
    """The upper left pixel of each window in each colour, `(n, b, c)` int64."""
    upper: Tensor
    """Where in `values` a pixel of a window has its bound, less the pixel, `(n, b, c)` int64."""
    windows: tuple[Tensor, ...]
    """The pixels of each window, counted from its first, `(pixels,)` int64."""

    @classmethod
    def of(cls, x: Tensor, threat: Threat, sides: Sequence[int], numbers: Tensor) -> "Corners":
        """The proposals that some draws make.

        Args:
            x: clean images, `(n, c, h, w)`.
            threat: an L-inf ball.
            sides: of each window, in pixels.
            numbers: draws in [0, 1), `(n, b, >= 2 + c)`.
        """
        c, h, w = x.shape[1:]
        upper = (numbers[:, :, 2 : 2 + c] >= 0.5).long() * (c * h * w)
        windows = {side: window(side, w, x.device) for side in set(sides)}
        first = upper_left(x, sides, numbers[:, :, :2])
        return cls(bounds(x, threat), first, upper, tuple(windows[side] for side in sides))

    def take(self, which: Tensor) -> "Corners":
        """The proposals for some of the images."""
        return Corners(self.values[which], self.first[which], self.upper[which], self.windows)

    def write(self, now: Tensor, place: int) -> Written:
        """Write one of the windows into each of the images `(n, c, h, w)`, which must be contiguous."""
        pixels = (self.first[:, place, :, None] + self.windows[place]).flatten(1)
        width = len(self.windows[place])
        new = self.values.gather(1, pixels + self.upper[:, place].repeat_interleave(width, dim=1))
        old = now.view(len(now), -1).gather(1, pixels)
        now.view(len(now), -1).scatter_(1, pixels, new)
        return Written(pixels, new, old)


def bounds(x: Tensor, threat: Threat) -> Tensor:
    """The lower, and then the upper bound of each pixel in an L-inf ball and the box, `(n, 2 c h w)`."""
    return torch.cat([threat.project(x + sign * threat.eps, x).flatten(1) for sign in (-1.0, 1.0)], dim=1)


def upper_left(x: Tensor, sides: Sequence[int], corners: Tensor) -> Tensor:
    """The upper left pixel of windows in each colour of images `(n, c, h, w)`, `(n, b, ..., c)` int64.

    Args:
        x: the images.
        sides: of the windows, `b` of them.
        corners: draws in [0, 1), `(n, b, ..., 2)`.
    """
    c, h, w = x.shape[1:]
    room = torch.tensor([[h - side + 1, w - side + 1] for side in sides], device=x.device)
    room = room.view(len(sides), *[1] * (corners.dim() - 3), 2)
    top, left = (corners * room).long().unbind(-1)
    return (top * w + left)[..., None] + torch.arange(c, device=x.device) * h * w


def window(side: int, width: int, device: torch.device) -> Tensor:
    """The pixels of a square at the upper left of an image, by their number in its row-major order."""
    along = torch.arange(side, device=device)
    return (along[:, None] * width + along).flatten()
