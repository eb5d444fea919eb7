"""MeanSparse: activations near their channel's mean become that mean."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from advbench.errors import DefenseError, SpecError

from .arrays import read_array
from .channels import channel_axis
from .images import widened

_ADVICE = (
    "make them with advbench.defenses.channel_statistics(model, batches, ['layer1'])[0], keep them with "
    "numpy.save('statistics.npy', ...), and write meansparse:statistics=statistics.npy@layer1"
)


@dataclass(frozen=True, kw_only=True)
class MeanSparse:
    """Set activations within a few tenths of a standard deviation of their channel's mean to that mean.

        z = mean_c   where |x - mean_c| <= alpha * std_c,   else x

    Amini, Teymoorianfard, Ma, Houmansadr 2024, "MeanSparse: post-training robustness enhancement through
    mean-centered feature sparsification", where it stands before every activation function. Here it stands at
    the output of any module, of several with a star (`meansparse@*.bn*`). Mean and deviation are
    those of the undefended network on images of the training split, which a run measures before it attacks.
    Its own gradient, the paper's, is zero within the band and one outside.

    Args:
        alpha: half the band's width in standard deviations; at 0 nothing changes.
        images: how many training images the statistics are measured on, at most: a balanced sample, seeded.
        split: of the data set, that they come from.
        axis: of the channels; by default the last of tokens `(n, t, c)`, else the second.
        statistics: means and deviations `(2, channels)` that are known: a `.npy` file, an `.npz` file with an
            array `statistics`, or a tensor. By default a run measures them.
        digest: of the statistics, so that a run knows which it had; not to be given.

    Raises:
        SpecError: a parameter outside its range, or statistics that cannot be used.
        DefenseError: activations of other channels, or no statistics yet.
    """

    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("identity", "soft", "exact")

    alpha: float = 0.25
    images: int = 1000
    split: str = "train"
    axis: int | None = None
    statistics: str | Path | Tensor = field(default="", compare=False, repr=False)
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 10.0:
            raise SpecError(f"meansparse: alpha must lie in [0, 10], got {self.alpha:g}.")
        if self.images < 2:
            raise SpecError(f"meansparse: images must be at least 2, got {self.images}.")
        if self.axis is not None and not 1 <= self.axis <= 4:
            raise SpecError(f"meansparse: axis must lie in 1..4, got {self.axis}.")
        if not self.is_measured:
            return
        held = hashlib.blake2b(self._mean_and_std.numpy().tobytes(), digest_size=16).hexdigest()
        object.__setattr__(self, "digest", held)

    @property
    def is_measured(self) -> bool:
        """Whether it has statistics; a run measures those that are missing."""
        return isinstance(self.statistics, Tensor) or bool(str(self.statistics))

    def __call__(self, x: Tensor) -> Tensor:
        """The sparsified `x`, any shape `(n, ...)`."""
        wide, mean, reach = self._band(x)
        return torch.where((wide - mean).abs() <= reach, mean, wide).to(x.dtype)

    def soft(self, x: Tensor) -> Tensor:
        """The band with soft edges: `mean + d u^2 / (1 + u^2)`, `u = d / (alpha std)`, `d = x - mean`."""
        wide, mean, reach = self._band(x)
        apart = wide - mean
        u = apart / reach.clamp(min=torch.finfo(wide.dtype).tiny ** 0.5)
        return torch.where(reach > 0.0, mean + apart * (1.0 - 1.0 / (1.0 + u.square())), wide).to(x.dtype)

    def _band(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`x` in float32 or more, each channel's mean, and how far from it the band reaches."""
        axis, wide = channel_axis(x, self.axis), widened(x)
        mean, std = self._mean_and_std.to(wide).unbind()
        if len(mean) != x.shape[axis]:
            raise DefenseError(
                f"meansparse: statistics are of {len(mean)} channels, the activations {tuple(x.shape)} have "
                f"{x.shape[axis]} along axis {axis}."
            )
        shape = [-1 if place == axis else 1 for place in range(x.dim())]
        return wide, mean.view(shape), self.alpha * std.view(shape)

    @cached_property
    def _mean_and_std(self) -> Tensor:
        """`(2, channels)` float32 on the CPU; no field, so that no record of a run holds them."""
        if isinstance(self.statistics, Tensor):
            return _checked(self.statistics.detach().cpu())
        if not self.is_measured:
            raise DefenseError(
                f"meansparse has no statistics yet, which a run measures: in Python, {_ADVICE}."
            )
        return _checked(read_array(self.statistics, "statistics", "meansparse", _ADVICE))


def _checked(statistics: Tensor) -> Tensor:
    shape = tuple(statistics.shape)
    if len(shape) != 2 or shape[0] != 2 or shape[1] == 0 or not statistics.is_floating_point():
        raise SpecError(
            "meansparse: statistics are means and deviations (2, channels) of floats, got "
            f"{statistics.dtype} {shape}."
        )
    whole = statistics.float().contiguous()
    if not bool(whole.isfinite().all()) or bool((whole[1] < 0.0).any()):
        raise SpecError("meansparse: statistics must be finite, and deviations not below 0.")
    return whole
