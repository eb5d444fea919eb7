"""Inside the network: activations that are dropped, cut down to the strongest, or rounded."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import SpecError

from .images import widened
from .quantize import soft_round


@dataclass(frozen=True, kw_only=True)
class DropoutActivations:
    """Stochastic activation pruning (SAP): strong activations survive, and are scaled up for the lost ones.

    Dhillon, Azizzadenesheli, Lipton, Bernstein, Kossaifi, Khanna, Anandkumar 2018, "Stochastic activation
    pruning for robust adversarial defense", section 4 and algorithm 1. Of an image's d activations at this
    place, r = share * d are drawn with replacement, each with probability `p_j = |x_j| / sum |x|`. What was
    never drawn becomes 0; what was is divided by its probability of that, so that the mean is x:

        z_j = x_j [j was drawn] / (1 - (1 - p_j)^r)

    Args:
        share: r / d. The paper's SAP-100, with as many draws as activations, is 1.

    Raises:
        SpecError: a share outside its range.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("identity", "exact")

    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 10.0:
            raise SpecError(f"dropout-activations: share must lie in (0, 10], got {self.share:g}.")

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The pruned `x`, any shape `(n, ...)`."""
        strength = _exact(x).flatten(1).abs()
        count = max(round(self.share * strength.shape[1]), 1)
        running = strength.cumsum(1)
        summed, total = running.detach(), running[:, -1:]
        # The activation at which the running sum passes a uniform share of the whole.
        threshold = draws.uniform((count,)).to(summed) * summed[:, -1:]
        drawn = torch.searchsorted(summed, threshold, right=True).clamp_(max=strength.shape[1] - 1)
        kept = torch.zeros_like(summed, dtype=torch.bool).scatter_(1, drawn, True) & (strength > 0)
        p = strength / total.clamp(min=torch.finfo(total.dtype).tiny)
        chance = -torch.expm1(count * torch.log1p(-p.clamp(max=_NEARLY_SURE)))
        scale = torch.where(kept, 1.0 / torch.where(kept, chance, 1.0), 0.0)
        return (x.to(scale.dtype) * scale.view(x.shape)).to(x.dtype)


_NEARLY_SURE = 1.0 - 2.0**-24
"""A probability of 1, where the logarithm's derivative would not be finite."""


def _exact(x: Tensor) -> Tensor:
    """In float64, whose last bits, which differ between kernels, the rounding to float32 hides."""
    return widened(x) if x.device.type == "mps" else x.double()


@dataclass(frozen=True, kw_only=True)
class KWTA:
    """k-winners-take-all: the k greatest of an image's activations at this place stay, the others become 0.

    Xiao, Zhong, Zheng 2020, "Enhancing adversarial defense by k-winners-take-all", section 3.1, with
    k = floor(gamma * d) of d activations, over channels and pixels together. Those equal to the k-th stay
    too. Discontinuous: its own gradient is right where it is, and changes from point to point.

    Args:
        gamma: share of the activations that stay.

    Raises:
        SpecError: a share outside its range.
    """

    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("soft", "identity", "exact")

    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.gamma <= 1.0:
            raise SpecError(f"k-wta: gamma must lie in (0, 1], got {self.gamma:g}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The winners, any shape `(n, ...)` as `x`."""
        return torch.where(x >= self._least(x), x, 0.0)

    def soft(self, x: Tensor) -> Tensor:
        """Each activation times a sigmoid of how far it lies above the k-th, `1/2 + v / (2 sqrt(1 + v^2))`.

        With v in units of a tenth of the way from the k-th to the greatest. An algebraic one, because it has
        the same bits for a value wherever in a batch that stands, and no activation is without a gradient.
        """
        wide, least = widened(x), widened(self._least(x))
        span = wide.detach().flatten(1).amax(1).view(least.shape) - least
        v = (wide - least) / torch.where(span > 0, 0.1 * span, 1.0)
        return (wide * (0.5 + 0.5 * v / (1.0 + v * v).sqrt())).to(x.dtype)

    def _least(self, x: Tensor) -> Tensor:
        """The k-th greatest activation of each image, `(n, 1, ...)`."""
        flat = widened(x.detach()).flatten(1)
        k = max(int(self.gamma * flat.shape[1] + 1e-9), 1)
        least = flat.topk(k, dim=1, sorted=False).values.amin(1)
        return least.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


@dataclass(frozen=True, kw_only=True)
class QuantizeActivations:
    """Round activations to evenly spaced levels between two ends, which are levels themselves.

        z = low + step * round((x - low) / step),  step = (high - low) / (2**bits - 1)

    Rakin, Yi, Gong, Fan 2018, "Defend deep neural networks against adversarial examples via fixed and
    dynamic quantized activation functions", section 3. Without ends given, those of each image at this
    place are its least and its greatest activation; with them, what lies beyond is cut off.

    Args:
        bits: 2**bits levels.
        low: the least level; given with `high` or not at all.
        high: the greatest.

    Raises:
        SpecError: bits outside their range, one end without the other, or ends in the wrong order.
    """

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "soft")

    bits: int = 4
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise SpecError(f"quantize-activations: bits must lie in 1..16, got {self.bits}.")
        if (self.low is None) != (self.high is None):
            raise SpecError("quantize-activations: give low and high, or neither of them.")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise SpecError(
                f"quantize-activations: low must lie below high, got {self.low:g} and {self.high:g}."
            )

    def __call__(self, x: Tensor) -> Tensor:
        """The rounded `x`, any shape `(n, ...)`."""
        level, low, step = self._levels(x)
        return (low + step * level.round()).to(x.dtype)

    def soft(self, x: Tensor) -> Tensor:
        """The rounding with its jumps smoothed, at most half a step from it; see `soft_round`."""
        level, low, step = self._levels(x)
        return (low + step * soft_round(level)).to(x.dtype)

    def _levels(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How many steps above the least level `x` lies, that level, and the step; in float32.

        Where all activations are alike the step is 1, which leaves them as they are.
        """
        wide = widened(x)
        shape = [-1] + [1] * (x.dim() - 1)
        if self.low is None or self.high is None:
            flat = wide.detach().flatten(1)
            low, high = flat.amin(1).view(shape), flat.amax(1).view(shape)
        else:
            low, high = wide.new_tensor(self.low), wide.new_tensor(self.high)
            wide = wide.clamp(self.low, self.high)
        step = (high - low) / ((1 << self.bits) - 1)
        step = torch.where(step > 0, step, 1.0)
        return (wide - low) / step, low, step
