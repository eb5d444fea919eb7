"""Smoothing: each pixel becomes a summary of those around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.defended.borders import extended
from advbench.defended.substitutes import average_pool
from advbench.errors import SpecError

from .images import check_images, widened


@dataclass(frozen=True, kw_only=True)
class Median:
    """The median of each pixel's window, a channel at a time.

    Xu, Evans, Qi 2018, "Feature squeezing: detecting adversarial examples in deep neural networks", section
    III-B. Beyond the border the image is mirrored, the outermost pixel repeated, as in
    `scipy.ndimage.median_filter`, to which it is equal. A window of even size has no middle: it reaches
    further up and left, and the upper of the two middle values counts.

    Args:
        kernel: side of the window, in pixels.

    Raises:
        SpecError: a window that is no window.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("smooth", "exact", "identity")

    kernel: int = 3

    def __post_init__(self) -> None:
        if not 2 <= self.kernel <= 15:
            raise SpecError(f"median: kernel must lie in 2..15, got {self.kernel}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The medians, `(n, c, h, w)` as `x`."""
        check_images(x, "median")
        k, (h, w) = self.kernel, x.shape[-2:]
        wide = extended(widened(x), k // 2, (k - 1) // 2, twice=True)
        if k in _MEDIANS:
            return _MEDIANS[k](wide).to(x.dtype)
        window = torch.stack([wide[..., i : i + h, j : j + w] for i, j in product(range(k), repeat=2)], -1)
        return window.kthvalue(k * k // 2 + 1, -1).values.to(x.dtype)

    def smooth(self, x: Tensor) -> Tensor:
        """The mean of the same windows."""
        return average_pool(x, self.kernel)


def _median_of_4(x: Tensor) -> Tensor:
    """The second greatest value of each 2x2 window; `(..., h, w)` to `(..., h-1, w-1)`."""
    less, more = x[..., :-1, :].minimum(x[..., 1:, :]), x[..., :-1, :].maximum(x[..., 1:, :])
    return less[..., :-1].maximum(less[..., 1:]).maximum(more[..., :-1].minimum(more[..., 1:]))


def _median_of_9(x: Tensor) -> Tensor:
    """The median of each 3x3 window, by comparisons of whole images; `(..., h, w)` to `(..., h-2, w-2)`.

    With the columns of a window sorted, its median is that of the greatest of the three least, the median
    of the three medians, and the least of the three greatest.
    """
    least, middle, greatest = _sorted(x[..., :-2, :], x[..., 1:-1, :], x[..., 2:, :])
    left, centre, right = slice(None, -2), slice(1, -1), slice(2, None)
    low = least[..., left].maximum(least[..., centre]).maximum(least[..., right])
    high = greatest[..., left].minimum(greatest[..., centre]).minimum(greatest[..., right])
    return _middle(low, _middle(middle[..., left], middle[..., centre], middle[..., right]), high)


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = a.minimum(b), a.maximum(b)
    return low.minimum(c), low.maximum(high.minimum(c)), high.maximum(c)


def _middle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a.minimum(b).maximum(a.maximum(b).minimum(c))


_MEDIANS: Final = {2: _median_of_4, 3: _median_of_9}
"""Medians by comparisons of whole images, by the window's side."""


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Convolution with a Gaussian, cut off at four standard deviations, a channel at a time.

    Beyond the border the image is mirrored, the outermost pixel repeated: `scipy.ndimage.gaussian_filter`
    with its defaults. Named beside the median by Xu, Evans, Qi 2018, "Feature squeezing", section III-B.
    Linear, so its own gradient is right.

    Args:
        sigma: standard deviation, in pixels.

    Raises:
        SpecError: a deviation outside its range.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("exact", "identity")

    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma <= 64.0:
            raise SpecError(f"gaussian: sigma must lie in (0, 64], got {self.sigma:g}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The blurred `x`, `(n, c, h, w)`."""
        check_images(x, "gaussian")
        radius = int(4.0 * self.sigma + 0.5)
        weights = torch.exp(-0.5 * (torch.arange(radius + 1, dtype=torch.float64) / self.sigma) ** 2)
        weights = weights / (weights[0] + 2.0 * weights[1:].sum())
        wide = extended(widened(x), radius, radius, twice=True)
        for dim in (-2, -1):
            wide = _weighted(wide, weights.tolist(), dim)
        return wide.to(x.dtype)


def _weighted(x: Tensor, weights: list[float], dim: int) -> Tensor:
    """A symmetric filter along one side, `weights` from its middle outwards.

    Shift by shift and not as a convolution, whose sums would depend on the batch's size.
    """
    radius = len(weights) - 1
    length = x.shape[dim] - 2 * radius
    total = x.narrow(dim, radius, length) * weights[0]
    for away, weight in enumerate(weights[1:], start=1):
        pair = x.narrow(dim, radius - away, length) + x.narrow(dim, radius + away, length)
        total = total + pair * weight
    return total


@dataclass(frozen=True, kw_only=True)
class NonLocalMeans:
    """Non-local means: each pixel becomes the mean of pixels in its window whose surroundings are alike.

        z(p) = sum_q w(p, q) x(q) / sum_q w(p, q),  w(p, q) = exp(-|P(p) - P(q)|^2 / (c size^2 h^2))

    with P the patch round a pixel in all its c channels. Buades, Coll, Morel 2005; as a defense Xu, Evans,
    Qi 2018, "Feature squeezing", section III-B, here with their setting for ImageNet, 11-3-4. As in OpenCV,
    which they use, weights below 1/1000 are 0 and the image is mirrored beyond its border; differs from it
    in that nothing is rounded to 8 bits, and that colours are not taken to the Lab space first.

    Args:
        search: side of the window, in pixels, odd.
        patch: side of the patches that are compared, in pixels, odd.
        strength: h, in pixel units (4/255, not 4).

    Raises:
        SpecError: a parameter outside its range.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("identity", "smooth", "exact")

    search: int = 11
    patch: int = 3
    strength: float = 4 / 255

    def __post_init__(self) -> None:
        for name in ("search", "patch"):
            size = getattr(self, name)
            if not (1 <= size <= 51 and size % 2 == 1):
                raise SpecError(f"nlm: {name} must be odd and lie in 1..51, got {size}.")
        if not 0.0 < self.strength < float("inf"):
            raise SpecError(
                f"nlm: strength must be positive, got {self.strength:g}. Units are those of pixels."
            )

    def __call__(self, x: Tensor) -> Tensor:
        """The denoised `x`, `(n, c, h, w)`."""
        check_images(x, "nlm")
        reach, (h, w) = self.search // 2, x.shape[-2:]
        margin = reach + self.patch // 2
        wide = extended(widened(x), margin, margin, twice=False)
        inner = wide[..., margin : margin + h, margin : margin + w]
        total, weights = inner.clone(), torch.ones_like(inner[:, :1])  # each pixel is like itself
        for down, right in _half_plane(reach):
            # One weight serves a pair of pixels: p with q = p + (down, right), and q with p.
            there = wide[..., margin + down :, margin + right :][..., :h, :w]
            back = wide[..., margin - down :, margin - right :][..., :h, :w]
            weight = self._likeness(wide, down, right)
            top, left = max(down, 0), max(right, 0)
            forth = weight[..., top : top + h, left : left + w]
            weight = weight[..., top - down :, left - right :][..., :h, :w]
            total += forth * there
            total += weight * back
            weights += forth
            weights += weight
        return (total / weights).to(x.dtype)

    def _likeness(self, wide: Tensor, down: int, right: int) -> Tensor:
        """Weights of all pairs of pixels so far apart of which one lies in the image.

        Args:
            wide: mirrored images, `(n, c, h + 2 margin, w + 2 margin)`.
            down: from the first pixel to the second; it may be negative.
            right: the same, sideways.

        Returns:
            `(n, 1, h + |down|, w + |right|)`, at the first pixel of each pair.
        """
        reach, patch = self.search // 2, self.patch
        height, width = (side - 2 * (reach + patch // 2) for side in wide.shape[-2:])
        height, width = height + abs(down) + patch - 1, width + abs(right) + patch - 1
        top, left = reach - max(down, 0), reach - max(right, 0)
        here = wide[..., top : top + height, left : left + width]
        there = wide[..., top + down :, left + right :][..., :height, :width]
        apart = reduce(add, (here - there).square().unbind(1))
        for dim in (-2, -1):
            length = apart.shape[dim] - patch + 1
            apart = reduce(add, (apart.narrow(dim, start, length) for start in range(patch)))
        weight = torch.exp(apart * (-1.0 / (patch**2 * self.strength**2 * wide.shape[1])))
        return F.threshold(weight, _FAINT, 0.0)[:, None]

    def smooth(self, x: Tensor) -> Tensor:
        """The mean of each pixel's patch."""
        return average_pool(x, self.patch)


_FAINT = 1e-3
"""Weights below this one count as 0."""


def _half_plane(reach: int) -> Iterator[tuple[int, int]]:
    """One of each pair of opposite offsets of at most `reach` pixels down and to the right."""
    return ((i, j) for i, j in product(range(-reach, reach + 1), range(reach + 1)) if j > 0 or i > 0)
