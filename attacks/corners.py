"""Square windows at corners of the L-inf ball, written into images a few pixels at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advbench.threat.threat import Threat


class Corners(NamedTuple):
    """Proposals for a batch of `n` images (Andriushchenko et al. 2020, algorithm 2), `b` of them each.

    Each moves one window to a corner of the ball, a colour at a time; what a window holds is known before
    the search comes to it, so that a proposal costs one copy of the image and what the window covers.
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
        bounds = [threat.project(x + sign * threat.eps, x).flatten(1) for sign in (-1.0, 1.0)]
        room = torch.tensor([[h - side + 1, w - side + 1] for side in sides], device=x.device)
        top, left = (numbers[:, :, :2] * room).long().unbind(2)
        colour = torch.arange(c, device=x.device) * h * w
        upper = (numbers[:, :, 2 : 2 + c] >= 0.5).long() * (c * h * w)
        windows = {side: _window(side, w, x.device) for side in set(sides)}
        first = (top * w + left)[:, :, None] + colour
        return cls(torch.cat(bounds, dim=1), first, upper, tuple(windows[side] for side in sides))

    def take(self, which: Tensor) -> "Corners":
        """The proposals for some of the images."""
        return Corners(self.values[which], self.first[which], self.upper[which], self.windows)

    def written_into(self, now: Tensor, place: int) -> Tensor:
        """A copy of images `(n, c, h, w)` with one of the windows each."""
        pixels = self.first[:, place, :, None] + self.windows[place]
        bounds = self.values.gather(1, (pixels + self.upper[:, place, :, None]).flatten(1))
        return now.flatten(1).scatter(1, pixels.flatten(1), bounds).view_as(now)


def _window(side: int, width: int, device: torch.device) -> Tensor:
    """The pixels of a square at the upper left of an image, by their number in its row-major order."""
    along = torch.arange(side, device=device)
    return (along[:, None] * width + along).flatten()
