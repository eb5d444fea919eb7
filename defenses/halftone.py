"""Halftoning by error diffusion."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advbench.defended.substitutes import average_pool
from advbench.errors import SpecError

from .images import check_images, widened


@dataclass(frozen=True, kw_only=True)
class Halftone:
    """Few levels a channel, each pixel's error handed on to its neighbours that are still to come.

    Floyd, Steinberg 1976, as a defense Lo, Patel 2021, "Error diffusion halftoning against adversarial
    examples". Line by line from the top left, `u = x + errors received` becomes the nearest level `y`, and
    `u - y` goes on: 7/16 to the right, 3/16, 5/16 and 1/16 to below left, below, and below right; what
    would leave the image is lost.

    A pixel depends on those left of it and on the line above up to its right neighbour, so that all
    pixels with the same `column + 2 row` can be done at once: `w + 2 h` steps for any number of images,
    in the arithmetic of the plain loop.

    Args:
        levels: evenly spaced from 0 to 1, 2 to 256.

    Raises:
        SpecError: levels outside that range.
    """

    levels: int = 2

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "smooth")

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256:
            raise SpecError(f"halftone: levels must lie in 2..256, got {self.levels}.")

    def __call__(self, x: Tensor) -> Tensor:
        """Halftones of images, `(n, c, h, w)`, each channel by itself."""
        check_images(x, "halftone")
        n, c, h, w = x.shape
        skewed = _skew(widened(x).detach().reshape(n * c, h, w))
        y = torch.empty_like(skewed)
        steps = self.levels - 1
        # Errors of the last three waves, by line; a line above the image that never has any comes first.
        e1, e2, e3 = (skewed.new_zeros(h + 1, n * c) for _ in range(3))
        for wave, (low, high) in enumerate(_lines(h, w)):
            here, above = slice(low + 1, high + 1), slice(low, high)
            u = skewed[wave, low:high] + e3[above] * (1 / 16)  # summed in the order in which they arrive
            u += e2[above] * (5 / 16)
            u += e1[above] * (3 / 16)
            u += e1[here] * (7 / 16)
            level = (u * steps).round_().clamp_(0, steps).div_(steps)
            y[wave, low:high] = level
            e3.zero_()[here] = u.sub_(level)
            e1, e2, e3 = e3, e1, e2
        return _unskew(y, w).view(n, c, h, w).to(x.dtype)

    def smooth(self, x: Tensor) -> Tensor:
        """The mean over 3x3 pixels: what error diffusion keeps is the local mean."""
        return average_pool(x)


def _skew(x: Tensor) -> Tensor:
    """Images `(b, h, w)` as waves `(w + 2 h - 2, h, b)`: pixel (i, j) in wave `j + 2 i`, line i."""
    b, h, w = x.shape
    waves = x.new_zeros(w + 2 * h - 2, h, b)
    waves[_waves_of(h, w, x.device), torch.arange(h, device=x.device).view(-1, 1)] = x.permute(1, 2, 0)
    return waves


def _unskew(waves: Tensor, w: int) -> Tensor:
    """The inverse of `_skew`."""
    h = waves.shape[1]
    lines = torch.arange(h, device=waves.device).view(-1, 1)
    return waves[_waves_of(h, w, waves.device), lines].permute(2, 0, 1).contiguous()


def _waves_of(h: int, w: int, device: torch.device) -> Tensor:
    return torch.arange(w, device=device) + 2 * torch.arange(h, device=device).view(-1, 1)


def _lines(h: int, w: int) -> Iterator[tuple[int, int]]:
    """The lines that each wave crosses, from `low` up to but without `high`."""
    for wave in range(w + 2 * h - 2):
        yield max(0, (wave - w) // 2 + 1), min(h, wave // 2 + 1)
