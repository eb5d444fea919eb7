"""Quantisation: the simplest way to break a gradient."""

from dataclasses import dataclass

from torch import Tensor

from advbench.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Round:
    """Round to the nearest multiple of a step, halves to even: `step * round(x / step)`.

    Its derivative is 0 wherever it exists.

    Args:
        step: distance between neighbouring values, in the units of what is rounded (pixels in [0, 1] at
            the input).

    Raises:
        SpecError: a step that is not positive.
    """

    step: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.step < float("inf"):
            raise SpecError(f"round: step must be positive, got {self.step:g}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The rounded `x`, same shape."""
        return (x / self.step).round() * self.step


@dataclass(frozen=True, kw_only=True)
class BitDepth:
    """Keep `2**bits` evenly spaced levels in [0, 1]: `round(x * (2**bits - 1)) / (2**bits - 1)`.

    Xu, Evans, Qi 2018, "Feature squeezing", section III-A; also Guo et al. 2018. Values outside [0, 1], as
    inside a network, are rounded to the same grid and not clipped.

    Args:
        bits: bits a channel keeps, 1 to 16.

    Raises:
        SpecError: bits outside that range.
    """

    bits: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise SpecError(f"bit-depth: bits must lie in 1..16, got {self.bits}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The reduced `x`, same shape."""
        steps = (1 << self.bits) - 1
        return (x * steps).round() / steps
