"""Vector-Jacobian products of maps that have no derivative, from differences along random directions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from advbench.draws.draws import Draws
from advbench.draws.sampling import content_keys
from advbench.errors import SpecError

Map = Callable[[Tensor], Tensor]

_BITS = 32  # of a word of random bits


@dataclass(frozen=True, kw_only=True)
class FiniteDifference:
    """How a vector-Jacobian product is estimated where a map `g` has no derivative.

        grad = mean over u of u * W(<g(x + step u) - g(x - step u), v>) / (2 step)

    The directions `u` are signs, `+1` or `-1` (simultaneous perturbation: Spall 1992, IEEE Transactions on
    Automatic Control 37, equation 2.2), drawn from a stream of the image that is perturbed. `W` adds up over
    the whole image where `reach` is None: an unbiased estimate whose noise grows with the number of pixels.
    With a reach, and where input and output are images of the same size, a pixel is credited with what
    changes at most so many pixels away from it: a defense that acts over a longer range is seen in part, with
    far less noise. Of MNIST images behind JPEG, 5 bits and a median, PGD left 93 % with 10 directions and no
    reach, 76 % with 40 (of 100); 18 % with 16 and a reach of 1, 20 % with 32 and a reach of 2 (of 50).

    Args:
        directions: pairs of evaluations of `g`.
        step: length of each, in units of what is perturbed (pixels in [0, 1] at the input). A step below the
            distance of a quantiser's levels meets mostly nothing.
        reach: in pixels; None for everywhere.

    Raises:
        SpecError: a number out of its range.
    """

    directions: int = 16
    step: float = 0.1
    reach: int | None = 1

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise SpecError(f"finite-difference: directions must be at least 1, got {self.directions}.")
        if not 0.0 < self.step < float("inf"):
            raise SpecError(f"finite-difference: step must be positive, got {self.step:g}.")
        if self.reach is not None and self.reach < 0:
            raise SpecError(f"finite-difference: reach must not be negative, got {self.reach}.")

    def __call__(self, g: Map, x: Tensor) -> Tensor:
        """`g(x)`, with the estimate as its backward pass; `x` is `(n, ...)`."""
        y: Tensor = _Estimated.apply(x, g, self)
        return y

    def product(self, g: Map, x: Tensor, v: Tensor) -> Tensor:
        """The estimate of `(dg/dx)^T v`, in the shape of `x` `(n, ...)`; `v` has the shape of `g(x)`."""
        draws = Draws(0, content_keys(x), "/finite-difference")
        total = torch.zeros_like(x)
        for number in range(self.directions):
            u = _signs(draws.stream(number), x)
            change = (g(x + self.step * u) - g(x - self.step * u)).to(v.dtype) * v
            total += u * self._credited(change, x)
        return total / (2.0 * self.step * self.directions)

    def _credited(self, change: Tensor, x: Tensor) -> Tensor:
        if self.reach is None or x.dim() != 4 or change.dim() != 4 or x.shape[2:] != change.shape[2:]:
            return change.flatten(1).sum(1).view(-1, *[1] * (x.dim() - 1))
        side = 2 * self.reach + 1
        return F.avg_pool2d(change.sum(1, keepdim=True), side, 1, self.reach) * side**2


class _Estimated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Map, how: FiniteDifference) -> Tensor:
        ctx.save_for_backward(x)
        ctx.g, ctx.how = g, how
        return g(x.detach().clone()).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return ctx.how.product(ctx.g, x, v), None, None


def _signs(draws: Draws, x: Tensor) -> Tensor:
    count = x[0].numel()
    words = draws.words(-(-count // _BITS))
    bits = (words[:, :, None] >> torch.arange(_BITS, device=words.device)) & 1
    return (2 * bits.flatten(1)[:, :count] - 1).to(x.dtype).view_as(x)
