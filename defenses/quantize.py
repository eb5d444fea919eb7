"""Quantisation, value by value: the simplest way to break a gradient."""

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor

from advbench.errors import SpecError

from .images import widened

TEMPERATURE: Final = 0.25
"""Of the soft quantisers: slopes from 0.2 on a level to 2.2 on a jump, so that no gradient vanishes."""


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

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "soft")

    def __post_init__(self) -> None:
        if not 0.0 < self.step < float("inf"):
            raise SpecError(f"round: step must be positive, got {self.step:g}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The rounded `x`, same shape."""
        return ((widened(x) / self.step).round() * self.step).to(x.dtype)

    def soft(self, x: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """The rounding with its jumps smoothed, at most half a step from it; see `soft_round`."""
        return (soft_round(widened(x) / self.step, temperature) * self.step).to(x.dtype)


@dataclass(frozen=True, kw_only=True)
class BitDepth:
    """Keep `2**bits` evenly spaced levels in [0, 1]: `round(x * (2**bits - 1)) / (2**bits - 1)`.

    Xu, Evans, Qi 2018, "Feature squeezing: detecting adversarial examples in deep neural networks", section
    III-A; also Guo et al. 2018. Values outside [0, 1], as inside a network, are rounded to the same grid and
    not clipped.

    Args:
        bits: bits a channel keeps, 1 to 16.

    Raises:
        SpecError: bits outside that range.
    """

    bits: int = 3

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "soft")

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise SpecError(f"bit-depth: bits must lie in 1..16, got {self.bits}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The reduced `x`, same shape."""
        return ((widened(x) * self._steps).round() / self._steps).to(x.dtype)

    def soft(self, x: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """The reduction with its jumps smoothed, at most half a level from it; see `soft_round`."""
        return (soft_round(widened(x) * self._steps, temperature) / self._steps).to(x.dtype)

    @property
    def _steps(self) -> int:
        return (1 << self.bits) - 1


@dataclass(frozen=True, kw_only=True)
class Binarize:
    """Black or white: 1 where `x > threshold`, else 0.

    Xu, Evans, Qi 2018, "Feature squeezing: detecting adversarial examples in deep neural networks", section
    III-A, whose one bit it is, for MNIST, where it costs nothing; studied as an input filter by Ding et al.
    2019, "On the sensitivity of adversarial robustness to input data distributions".

    Args:
        threshold: between black and white, in the units of what is binarised; strictly within (0, 1) for
            pixels, any finite number inside a network.

    Raises:
        SpecError: a threshold that is not finite.
    """

    threshold: float = 0.5

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "soft")

    def __post_init__(self) -> None:
        if not -float("inf") < self.threshold < float("inf"):
            raise SpecError(f"binarize: threshold must be a finite number, got {self.threshold:g}.")

    def __call__(self, x: Tensor) -> Tensor:
        """Zeros and ones, same shape."""
        return (widened(x) > self.threshold).to(x.dtype)

    def soft(self, x: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """`1/2 + v / (2 sqrt(T^2 + v^2))` with `v = x - threshold`: a sigmoid between 0 and 1.

        Args:
            x: what would be binarised.
            temperature: width of the jump, in the units of `x`; towards 0 this is the defense.
        """
        v = widened(x) - self.threshold
        return (0.5 + 0.5 * v / (temperature**2 + v * v).sqrt()).to(x.dtype)


def soft_round(u: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """A staircase with sloping steps, equal to `round(u)` at whole numbers, rising everywhere.

        s(u) = floor(u) + 1/2 + v sqrt((T^2 + 1/4) / (T^2 + v^2)),   v = u - floor(u) - 1/2

    Its slope runs from `T^2 / (T^2 + 1/4)` at whole numbers to `sqrt(1 + 1 / (4 T^2))` at the jumps; it
    becomes rounding as T goes to 0 and the identity as T grows, which is what annealing runs through. The
    idea is that of Gong et al. 2019, "Differentiable soft quantization: bridging full-precision and low-bit
    neural networks". differs from it: a square root in place of tanh, because it has the same bits for a
    value wherever in a batch that stands, and tanh has not.

    As a substitute at the pixels it changes no gradient's sign: an L-inf attack that follows signs does there
    what it does with the identity, bit for bit. In L2 and elsewhere in a network or a chain it does not:
    behind `binarize`, the digits model, L2 radius 0.8, PGD with 20 steps left 114 of 200 images with the
    identity and 27 with `soft`.

    Args:
        u: numbers, in units of the quantiser's step.
        temperature: `T`, positive, in the same units.
    """
    middle = u.detach().floor() + 0.5
    v = u - middle
    return middle + v * ((temperature**2 + 0.25) / (temperature**2 + v * v)).sqrt()
