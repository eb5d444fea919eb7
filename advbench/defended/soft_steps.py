"""Steps inside a network (sign, round, a comparison) with the derivative of their expectation under noise.

A network that is binarised or quantised takes steps. Their derivative is zero, or a straight-through
estimator stands in for it, which was made for training and is far too wide for an attack. Here a step keeps
its forward pass, bit for bit, and has in the backward pass the derivative of its mean under Cauchy noise `n`:

    d/dx E[sign(x + n)] = 2 c(x),   c(x) = g / (pi (x^2 + g^2)),   g = width * rms(x)

and of `round` the same, summed over all its steps (the wrapped Cauchy density, as wide as `width` times one
step). The tails of `c` never vanish, so no image is without a gradient, and the root mean square is of one
image, so that the gradient does not depend on the batch. The smaller the width, the nearer to the step.

Smoothing by noise: Duchi, Bartlett, Wainwright 2012, "Randomized smoothing for stochastic optimization". That
a forward pass of steps needs a derivative of its own choosing: Athalye, Carlini, Wagner 2018, section 4.1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Density = Callable[[Tensor], Tensor]
"""What a step's derivative is at its arguments `(n, ...)`, for a jump of 1."""

_LOOKED_BACK: Final = 24
"""Nodes of the graph between a step and a `detach` that hides it, at most."""


def cauchy(x: Tensor, width: float) -> Tensor:
    """The density of Cauchy noise at `x`, `(n, ...)` float32, as wide as `width` times each row's rms."""
    wide = x.detach().float()
    size = wide.flatten(1).square().mean(1).sqrt() if wide.dim() > 1 else wide.abs()
    size = torch.where((size > 0.0) & size.isfinite(), size, 1.0).view(-1, *[1] * (wide.dim() - 1))
    scale = width * size if wide.dim() else torch.full_like(wide, width)
    return scale / (math.pi * (wide.square() + scale.square()))


def wrapped_cauchy(x: Tensor, width: float, jump_at: float, period: float) -> Tensor:
    """The same around every step of a staircase, `(n, ...)` float32, for steps as high as they are long.

    Args:
        x: any shape.
        width: of the noise, in periods.
        jump_at: where one of the jumps is, in periods.
        period: length of a step.
    """
    angle = 2.0 * math.pi * (x.detach().float() / period - jump_at)
    reach = 2.0 * math.pi * width
    return math.sinh(reach) / (math.cosh(reach) - angle.cos())


class Softening(TorchFunctionMode):
    """While it is active, torch's steps give what they gave, with a soft derivative.

    These are `sign`, `heaviside`, `round`, `floor`, `ceil`, and comparisons that become numbers (`.float()`,
    `.to`, `where`, a product). A `detach` behind a step, by which straight-through estimators are written
    (`x + (sign(x) - x).detach()`), lets the step's own derivative through.

    Args:
        width: of the noise.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width
        self.taken = 0
        """Steps that were taken, under autograd or not."""
        self.softened = 0
        """Of these, those that have a soft derivative now."""
        self._conditions: dict[int, tuple[Tensor, Tensor]] = {}  # each held, so that its id stays its own

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, or what stands in for it."""
        kwargs = kwargs or {}
        handle = _HANDLED.get(func)
        if handle is None:
            return func(*args, **kwargs)
        if func in _STEPS:
            self.taken += 1
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        return handle(self, func, args, kwargs)

    def soft(self, y: Tensor, x: Tensor, density: Density, jump: Tensor | float = 1.0) -> Tensor:
        """`y` with a derivative by `x` beside its own: `jump` times the density."""
        self.softened += 1
        made: Tensor = _Soft.apply(y, x, jump, density)
        return made

    def compared(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A comparison, and by what it is decided."""
        y = func(*args, **kwargs)
        sign = _DIRECTIONS[func]
        is_bool = any(isinstance(side, Tensor) and side.dtype == torch.bool for side in args)
        if len(args) == 2 and any(_moves(side) for side in args) and not is_bool:
            self._conditions[id(y)] = (y, sign * (args[0] - args[1]))
        return y

    def known(self, condition: Any) -> Tensor | None:
        """By what a condition is decided: it holds above 0; None where that is not known."""
        entry = self._conditions.get(id(condition))
        return None if entry is None else entry[1]

    def as_number(self, y: Tensor, difference: Tensor) -> Tensor:
        """A condition that has become a number."""
        return self.soft(y, difference, partial(cauchy, width=self.width)) if y.is_floating_point() else y


class _Soft(torch.autograd.Function):
    """`y`, which jumps where `x` passes a step."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, jump: Tensor | float, density: Density) -> Tensor:
        ctx.save_for_backward(x, jump if isinstance(jump, Tensor) else None)
        ctx.jump, ctx.density = None if isinstance(jump, Tensor) else jump, density
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, jump = ctx.saved_tensors
        through = grads[0] * ctx.density(x) * (ctx.jump if jump is None else jump)
        own = grads[0] if ctx.needs_input_grad[0] else None
        return own, through.sum_to_size(x.shape).to(x.dtype), None, None


def _moves(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _stepped(
    step: Callable[..., tuple[Density, float] | None],
    mode: Softening,
    func: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """A function of one argument that takes steps, in place where its name ends in `_`."""
    x = args[0] if args else kwargs.get("input")
    kind = step(mode.width, *args[1:], **{name: word for name, word in kwargs.items() if name != "input"})
    if kind is None or not isinstance(x, Tensor) or not x.requires_grad:
        return func(*args, **kwargs)
    density, jump = kind
    in_place = getattr(func, "__name__", "").endswith("_")
    with torch.no_grad():
        y = func(x.clone() if in_place else x, *args[1:], **{**kwargs, **({"input": x} if not args else {})})
    made = mode.soft(y, x.clone() if in_place else x, density, jump)
    return x.copy_(made) if in_place else made


def _sign(width: float) -> tuple[Density, float]:
    return partial(cauchy, width=width), 2.0


def _heaviside(width: float, values: Any = None) -> tuple[Density, float]:  # noqa: ARG001  # torch's call
    return partial(cauchy, width=width), 1.0


def _round(width: float, decimals: int = 0, *, out: Any = None) -> tuple[Density, float] | None:
    period = 10.0**-decimals
    return None if out is not None else (_staircase(width, 0.5, period), 1.0)


def _floor(width: float, *, out: Any = None) -> tuple[Density, float] | None:
    return None if out is not None else (_staircase(width, 0.0, 1.0), 1.0)


def _staircase(width: float, jump_at: float, period: float) -> Density:
    return partial(wrapped_cauchy, width=width, jump_at=jump_at, period=period)


def _converted(mode: Softening, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A condition that becomes a number."""
    y = func(*args, **kwargs)
    difference = mode.known(args[0]) if args else None
    return y if difference is None else mode.as_number(y, difference)


def _chosen(mode: Softening, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`where` between two values."""
    y = func(*args, **kwargs)
    call = {**dict(zip(_WHERE[func], args, strict=False)), **kwargs}
    difference = mode.known(call.get("condition"))
    if difference is None or "other" not in call or not y.is_floating_point():
        return y
    jump = torch.as_tensor(call["input"]).detach() - torch.as_tensor(call["other"]).detach()
    finite = jump.to(device=y.device, dtype=y.dtype).nan_to_num(0.0, 0.0, 0.0)
    return mode.soft(y, difference, partial(cauchy, width=mode.width), finite)


def _multiplied(mode: Softening, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A product with a condition, which is 0 or 1."""
    kinds = [arg.dtype for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()]
    if not kinds:
        return func(*args, **kwargs)
    factors = []
    for arg in args:
        difference = mode.known(arg)
        factors.append(arg if difference is None else mode.as_number(arg.to(kinds[0]), difference))
    return func(*factors, **kwargs)


def _detached(mode: Softening, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A `detach` that would hide a step."""
    x = args[0] if args else kwargs.get("input")
    if mode.softened and isinstance(x, Tensor) and _behind_step(x):
        return x.view_as(x)
    return func(*args, **kwargs)


def _behind_step(x: Tensor) -> bool:
    """Whether a soft step is among the last nodes of the graph of a tensor."""
    waiting: list[Any] = [x.grad_fn]
    seen: set[Any] = set()
    while waiting and len(seen) < _LOOKED_BACK:
        node = waiting.pop(0)
        if node is None or node in seen:
            continue
        if type(node).__name__ == f"{_Soft.__name__}Backward":
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False


_UNARY: Final[Mapping[Callable[..., Any], tuple[Any, ...]]] = {
    _sign: (torch.sign, Tensor.sign, Tensor.sign_, torch.sgn, Tensor.sgn, Tensor.sgn_),
    _heaviside: (torch.heaviside, Tensor.heaviside, Tensor.heaviside_),
    _round: (torch.round, Tensor.round, torch.round_, Tensor.round_),
    _floor: (
        *(torch.floor, Tensor.floor, torch.floor_, Tensor.floor_),
        *(torch.ceil, Tensor.ceil, torch.ceil_, Tensor.ceil_),
    ),
}
_DIRECTIONS: Final[Mapping[Any, float]] = {
    **dict.fromkeys((torch.gt, torch.ge, Tensor.gt, Tensor.ge, Tensor.__gt__, Tensor.__ge__), 1.0),
    **dict.fromkeys((torch.lt, torch.le, Tensor.lt, Tensor.le, Tensor.__lt__, Tensor.__le__), -1.0),
}
_WHERE: Final[Mapping[Any, tuple[str, ...]]] = {
    torch.where: ("condition", "input", "other"),
    Tensor.where: ("input", "condition", "other"),
}
_CONVERSIONS: Final = (
    *(Tensor.float, Tensor.double, Tensor.half, Tensor.bfloat16),
    *(Tensor.to, Tensor.type, Tensor.type_as),
)
_PRODUCTS: Final = (torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__)
_SINGLE: Final = {func: partial(_stepped, step) for step, functions in _UNARY.items() for func in functions}
_STEPS: Final = frozenset([*_SINGLE, *_DIRECTIONS])
"""What takes steps."""
_HANDLED: Final[Mapping[Any, Callable[..., Any]]] = {
    **_SINGLE,
    **dict.fromkeys(_DIRECTIONS, Softening.compared),
    **dict.fromkeys(_WHERE, _chosen),
    **dict.fromkeys(_CONVERSIONS, _converted),
    **dict.fromkeys(_PRODUCTS, _multiplied),
    **dict.fromkeys((torch.detach, Tensor.detach), _detached),
}
