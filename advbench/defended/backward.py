"""Backward pass differentiable approximation (BPDA) and its counterpart, the gradient as it is.

Athalye, Carlini, Wagner 2018, "Obfuscated gradients give a false sense of security", section 4.1: keep the
defense `g` in the forward pass and put the derivative of a differentiable `s` with `s(x) ~ g(x)` in the
backward pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from advbench.defended.clips import clipped_from_inside
from advbench.defended.graph import nodes_between
from advbench.draws.draws import Draws
from advbench.draws.sampling import drawn, fresh_draws, is_random
from advbench.errors import DefenseError, first_line, ran_out_of_memory

Map = Callable[[Tensor], Tensor]
"""A defense or a substitute: a batch `(n, ...)` to a batch `(n, ...)`."""


_WITHOUT_DERIVATIVE: Final = "NotImplemented"
"""How autograd's name for the node of a function ends that it cannot differentiate."""


def identity(x: Tensor) -> Tensor:
    """The substitute of the original paper: `s(x) = x`, so the gradient passes through unchanged."""
    return x


class BPDA(nn.Module):
    """A defense whose backward pass goes through a substitute.

    The forward pass is `defense(x)`, bit for bit, and runs outside autograd: the defense may leave torch
    (NumPy, PIL, a codec) or draw random numbers. The backward pass is the substitute's vector-Jacobian
    product at the input that the defense saw:

        forward:   y = g(x)
        backward:  dL/dx = (ds/dx)^T dL/dy

    The substitute runs in the backward pass alone, so a forward pass without one costs nothing extra.

        >>> quantise = BPDA(lambda x: (x * 7).round() / 7)
        >>> model = nn.Sequential(quantise, model)

    Args:
        defense: `g`, any function or module on tensors `(n, ...)`.
        substitute: `s`, a differentiable function with the output shape of `defense`; the identity by
            default. One with a true attribute `is_defense` computes what the defense does, bit for bit, and
            keeps no more for it under autograd; it then is the forward pass too.

    Raises:
        DefenseError: the substitute's output has another shape than the defense's.
    """

    def __init__(self, defense: Map, substitute: Map = identity) -> None:
        super().__init__()
        self.defense = defense
        self.substitute = substitute

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return `defense(x)`; a random defense, and a random substitute, with the same draws."""
        if draws is None and is_random(self.defense) and is_random(self.substitute):
            draws = fresh_draws(x)
        if getattr(self.substitute, "is_defense", False) and torch.is_grad_enabled() and x.requires_grad:
            # The forward pass would be done twice for one derivative.
            return _run(drawn(self.substitute, draws), x, what="substitute")
        y: Tensor = _Substituted.apply(x, drawn(self.defense, draws), drawn(self.substitute, draws))
        return y

    def extra_repr(self) -> str:
        """What `print(module)` shows between the brackets."""
        return f"defense={self.defense}, substitute={name_of(self.substitute)}"


class TrueGradient(nn.Module):
    """A defense with the gradient that autograd finds in it, shattered or not.

    Where the defense leaves autograd (NumPy, PIL, a detached tensor), or goes through a function that torch
    has no derivative of (`x // step`, `torch.heaviside`), its true derivative is unknown to torch, and zero
    is what an attack that follows it would see: the backward pass gives zeros instead of an error.

    Args:
        defense: `g`, any function or module on tensors `(n, ...)`.
    """

    def __init__(self, defense: Map) -> None:
        super().__init__()
        self.defense = defense

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return `defense(x)`; a random defense with these draws."""
        defense = drawn(self.defense, draws)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return _run(defense, x.clone())
        try:
            y = defense(x.clone())
        except RuntimeError as error:
            if ran_out_of_memory(error):
                raise
            # `x.numpy()` refuses a tensor that requires grad. Any other fault shows again without one.
            y = _run(defense, x.detach().clone())
        y = _checked(y, x)
        if y.requires_grad and _has_derivative(y, x):
            return y
        zeroed: Tensor = _ZeroGradient.apply(x, y.detach())
        return zeroed


def bpda(defense: Map, substitute: Map = identity) -> BPDA:
    """Wrap a defense so that its backward pass goes through `substitute`; see `BPDA`."""
    return BPDA(defense, substitute)


class _Substituted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, defense: Map, substitute: Map) -> Tensor:
        y = _run(defense, x.detach().clone())  # a defense may work in place
        ctx.substitute = substitute
        if substitute is not identity:
            ctx.save_for_backward(x)
        elif ctx.needs_input_grad[0]:
            _check_shapes(y, x, "identity")
        # The network may go on in place, which autograd allows on a tensor of its own alone.
        return y.clone() if y._is_view() else y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        if ctx.substitute is identity:
            return grad, None, None
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            s = clipped_from_inside(partial(_run, ctx.substitute, what="substitute"), x)
        _check_shapes(grad, s, name_of(ctx.substitute))
        if not s.requires_grad:
            return torch.zeros_like(x), None, None
        (through,) = torch.autograd.grad(s, x, grad.to(s.dtype), allow_unused=True)
        return (torch.zeros_like(x) if through is None else through), None, None


def _has_derivative(y: Tensor, x: Tensor) -> bool:
    """Whether torch has a derivative of every function between `x` and `y`; where it has none, it raises."""
    return not any(node.name().endswith(_WITHOUT_DERIVATIVE) for node in nodes_between(x, y))


class _ZeroGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        return torch.zeros_like(ctx.saved_tensors[0]), None


def name_of(function: Map) -> str:
    """What a defense or a substitute is called in tables and messages."""
    return getattr(function, "__name__", type(function).__name__)


def _run(defense: Map, x: Tensor, what: str = "defense") -> Tensor:
    try:
        y = defense(x)
    except DefenseError:
        raise
    except Exception as error:  # a user's defense may raise anything
        if ran_out_of_memory(error):
            raise
        shape = tuple(x.shape)
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise DefenseError(
            f"{what} {name_of(defense)} failed on a batch of shape {shape}: {reason}"
        ) from error
    return _checked(y, x, what)


def _checked(y: Tensor, x: Tensor, what: str = "defense") -> Tensor:
    if not isinstance(y, Tensor):
        raise DefenseError(f"a {what} must return a tensor, got {type(y).__name__}; use torch.from_numpy.")
    if y.dim() == 1 and x.dim() > 1:
        raise DefenseError(
            f"a {what} must return a batch like the one that it is given, {tuple(x.shape)}, got one number "
            f"an image, {tuple(y.shape)}. Is it the score of a detector?"
        )
    return y.to(device=x.device, dtype=x.dtype)  # NumPy computes in float64 where it may


def _check_shapes(y: Tensor, s: Tensor, name: str) -> None:
    if y.shape != s.shape:
        raise DefenseError(
            f"the substitute {name} gives shape {tuple(s.shape)} where the defense gives {tuple(y.shape)}. "
            "Wrap the defense alone, not the classifier behind it, or pass a substitute of that shape."
        )
