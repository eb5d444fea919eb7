"""Total variation minimisation: rebuild an image from a random half of its pixels."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import SpecError

from .images import check_images, widened


@dataclass(frozen=True, kw_only=True)
class TVMin:
    """Drop pixels at random and replace the image by the one of least total variation that fits the rest.

        min_z  1/2 sum_ijk X_ijk (z - x)_ijk^2 + weight * sum_ijk |(z_i+1 - z_i, z_j+1 - z_j)|_ijk

    with X_ijk = 0 with probability `drop`, for each pixel and channel alone. Guo, Rana, Cisse, van der
    Maaten 2018, "Countering adversarial images using input transformations", section 4, equation 6, where it
    is called total variance minimization. Differs from that equation as the authors' own code does: the
    first term is squared, and the variation is isotropic. Differs from that code in the solver: not split
    Bregman with sweeps from pixel to pixel, but the primal-dual method of Chambolle and Pock 2011, algorithm
    1, a fixed number of steps over whole batches. The problem is convex and its solution the same.

    Args:
        drop: probability that a pixel is dropped.
        weight: of the total variation; the paper's 0.03.
        steps: of the solver.

    Raises:
        SpecError: a parameter outside its range.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("identity", "smooth", "exact")

    drop: float = 0.5
    weight: float = 0.03
    steps: int = 60

    def __post_init__(self) -> None:
        if not 0.0 <= self.drop < 1.0:
            raise SpecError(f"tv-min: drop must lie in [0, 1), got {self.drop:g}.")
        if not 0.0 < self.weight < float("inf"):
            raise SpecError(f"tv-min: weight must be positive, got {self.weight:g}.")
        if self.steps < 1:
            raise SpecError(f"tv-min: steps must be at least 1, got {self.steps}.")

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The rebuilt images, `(n, c, h, w)` as `x`."""
        check_images(x, "tv-min")
        wide, kept = widened(x), self.kept(x, draws)
        problem = _Problem(_STEP * wide * kept, 1.0 / (1.0 + _STEP * kept), self.weight / _DUAL_STEP)
        z = leading = torch.where(kept > 0, wide, _mean_of_kept(wide, kept, self._window))
        p, q = torch.zeros_like(z), torch.zeros_like(z)
        for _ in range(self.steps):
            p, q = problem.ascend(p, q, leading)
            before, z = z, problem.descend(z, p, q)
            leading = 2.0 * z - before
        return z.to(x.dtype)

    def smooth(self, x: Tensor, draws: Draws) -> Tensor:
        """The mean of the pixels near by that were kept; within 3x3 where half of them are."""
        return _mean_of_kept(widened(x), self.kept(x, draws), self._window).to(x.dtype)

    def kept(self, x: Tensor, draws: Draws) -> Tensor:
        """X: 1 where a pixel is kept and 0 where it is dropped; in float32, or float64 for such images."""
        chosen = draws.uniform(x.shape[1:]) >= self.drop
        return chosen.to(device=x.device, dtype=widened(x[:0]).dtype)

    @property
    def _window(self) -> int:
        """Side of a window, odd, in which four or five pixels are kept in the mean."""
        return max(3, math.ceil(math.sqrt(4.5 / (1.0 - self.drop))) | 1)


_STEP, _DUAL_STEP = 1.0, 1 / 8
"""Steps of the solver; their product times 8, the operator's squared norm, may not exceed 1."""


class _Problem(NamedTuple):
    """The saddle-point problem min_z max_|(p, q)| <= weight of <grad z, (p, q)> + the squared distance.

    Dual variables are kept in units of their step.
    """

    data: Tensor
    """The kept pixels times the step, 0 elsewhere."""
    shrink: Tensor
    """1 / (1 + step X), from the proximal map of the squared distance."""
    radius: float
    """The weight in units of the dual step."""

    def ascend(self, p: Tensor, q: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """A step up in the dual variables, and back into their discs."""
        p = p + F.pad(z[..., 1:, :] - z[..., :-1, :], (0, 0, 0, 1))
        q = q + F.pad(z[..., 1:] - z[..., :-1], (0, 1))
        # Clamped before the root, whose derivative at 0 is infinite.
        scale = self.radius * (p * p + q * q).clamp(min=self.radius**2).rsqrt()
        return p * scale, q * scale

    def descend(self, z: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """A step down in the image."""
        down = F.pad(p[..., :-1, :], (0, 0, 1, 0)) - p + F.pad(q[..., :-1], (1, 0)) - q
        return (z - (_STEP * _DUAL_STEP) * down + self.data) * self.shrink


def _mean_of_kept(x: Tensor, kept: Tensor, size: int) -> Tensor:
    """The mean of what was kept of each window of `size` x `size`; 0 where nothing was."""
    total = F.avg_pool2d(x * kept, size, stride=1, padding=size // 2)
    count = F.avg_pool2d(kept, size, stride=1, padding=size // 2)
    return torch.where(count > 0, total / torch.where(count > 0, count, 1.0), 0.0)
