"""Networks whose weights and activations are signs, with a straight-through estimator and without."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adaptive.ascent import margin, standing
from benchmarks.adaptive.digits import train
from benchmarks.adaptive.line import Line

Activation = Callable[[Tensor], Tensor]

WIDTHS: Final = (0.1, 0.2, 0.4)
"""Of the tanh that the adaptive attack differentiates, in units of what BatchNorm gives."""


class StraightThrough(torch.autograd.Function):
    """The sign, with the derivative of hardtanh (Hubara et al. 2016, "Binarized neural networks")."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """1 where x >= 0, else -1."""
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient, within 1 of the step."""
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() <= 1)


def estimated(x: Tensor) -> Tensor:
    """Signs with the straight-through gradient."""
    signs: Tensor = StraightThrough.apply(x)
    return signs


def bare(x: Tensor) -> Tensor:
    """Signs as torch has them: their derivative is zero."""
    return torch.where(x >= 0, 1.0, -1.0)


class BinaryLinear(nn.Linear):
    """A layer that multiplies by the signs of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """`(n, in)` to `(n, out)`."""
        return F.linear(x, estimated(self.weight))


class Binarised(nn.Module):
    """Two hidden layers of 256 signs each, and a linear head.

    Args:
        activation: what binarises.
    """

    def __init__(self, activation: Activation = estimated) -> None:
        super().__init__()
        self.activation = activation
        self.first, self.second = BinaryLinear(64, 256, bias=False), BinaryLinear(256, 256, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm1d(256), nn.BatchNorm1d(256)])
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, 1, 8, 8)` to logits `(n, k)`."""
        first = self.activation(self.norms[0](self.first(2 * x.flatten(1) - 1)))
        second = self.activation(self.norms[1](self.second(first)))
        logits: Tensor = self.head(second)
        return logits


@cache
def _trained() -> Binarised:
    return train(Binarised, epochs=20)


def network() -> nn.Module:
    """The network as it was trained."""
    return deepcopy(_trained())


def without_gradient() -> nn.Module:
    """The same network with bare signs: the same logits, and no gradient."""
    model = deepcopy(_trained())
    model.activation = bare
    return model


class _Steep(torch.autograd.Function):
    """The sign, with the derivative of tanh(x / width)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.width = width
        return bare(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (1 - torch.tanh(x / ctx.width) ** 2), None


def against_signs(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Climb the margin along signs that are as steep as tanh of a few widths; an image stands against all."""
    left = torch.ones_like(y, dtype=torch.bool)
    for width in WIDTHS:
        model = deepcopy(_trained())

        def steep(h: Tensor, width: float = width) -> Tensor:
            signs: Tensor = _Steep.apply(h, width)
            return signs

        model.activation = steep

        def loss(x_adv: Tensor, model: nn.Module = model) -> Tensor:
            return margin(model(x_adv), y)

        def stands(x_adv: Tensor, model: nn.Module = model) -> Tensor:
            with torch.no_grad():
                predicted: Tensor = model(x_adv).argmax(1)
            return predicted == y

        left &= standing(loss, stands, x, eps)
    return left


def _line(name: str, factory: str, right: tuple[str, ...]) -> Line:
    return Line(
        name=name,
        kind="binarised network",
        paper="Hubara et al. 2016",
        options=f"--model benchmarks.adaptive.binarised:{factory} --surrogate soft-steps "
        "--attack apgd:loss=margin --restarts 3 --gradient-free square:queries=200",
        adaptive=against_signs,
        right=right,
        eps=0.06,
    )


ESTIMATED: Final = _line("binarised network", "network", ("masked",))
BARE: Final = _line("binarised network without a gradient", "without_gradient", ("masked",))
