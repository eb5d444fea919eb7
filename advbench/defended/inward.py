"""Clips whose derivative at the bounds is that from inside, put in the place of torch's own."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Bound = float | Tensor | None

_ROUNDINGS: Final = 4.0
"""So many last bits of the greater bound may be lost on the way to a clip."""


def inside(x: Tensor, low: Bound, high: Bound) -> Tensor:
    """Whether `x` lies between the bounds or on one of them, `bool`; nowhere where they are not in order.

    Beyond a bound by what rounding may do is on it: 4 units in the last place of the greater one, but at a
    bound so small that this would be a hundredth of it (the 1e-7 before a logarithm), nothing. Half
    precision is compared as it is.

    Args:
        x: any shape.
        low: the lower bound; none where None.
        high: the upper bound.
    """
    slack = _ROUNDINGS * torch.finfo(x.dtype).eps if x.dtype in (torch.float32, torch.float64) else 0.0
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return _inside_tensors(x, (low, high), slack)
    finite = [abs(bound) for bound in (low, high) if bound is not None and isfinite(bound)]
    reach = slack * max(finite, default=0.0)
    within = None
    if low is not None:
        within = x >= low - (reach if low == 0.0 or abs(low) > 100.0 * reach else 0.0)
    if high is not None:
        below = x <= high + (reach if high == 0.0 or abs(high) > 100.0 * reach else 0.0)
        within = below if within is None else within & below
    if within is None or (low is not None and high is not None and not low < high):
        return torch.zeros_like(x, dtype=torch.bool)
    return within


def _inside_tensors(x: Tensor, bounds: tuple[Bound, Bound], slack: float) -> Tensor:
    low, high = (None if bound is None else torch.as_tensor(bound, device=x.device) for bound in bounds)
    sizes = [bound.detach().abs() for bound in (low, high) if bound is not None]
    sizes = [torch.where(size.isfinite(), size, 0.0) for size in sizes]
    reach = slack * (sizes[0] if len(sizes) == 1 else torch.maximum(*sizes))
    within = torch.ones_like(x, dtype=torch.bool)
    if low is not None:
        within = within & (x >= low - torch.where((low == 0.0) | (low.abs() > 100.0 * reach), reach, 0.0))
    if high is not None:
        within = within & (x <= high + torch.where((high == 0.0) | (high.abs() > 100.0 * reach), reach, 0.0))
    if low is not None and high is not None:
        within = within & (low < high)
    return within


class Inward(TorchFunctionMode):
    """While it is active, torch's clips give what they gave, with the derivative from inside.

    For compiled models, which trace it. Clips whose bounds need gradients themselves stay as they are.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, or what stands in for it."""
        kwargs = kwargs or {}
        read = _CLIPS.get(func)
        call = None if read is None else read(*args, **kwargs)
        if call is None or not call.is_clip():
            return func(*args, **kwargs)
        return call.result(func, args, kwargs)


class _Call(NamedTuple):
    """A call of a clip.

    Args:
        x: what is clipped.
        low: the lower bound.
        high: the upper one.
        in_place: whether `x` is written to.
        slope: the derivative inside.
    """

    x: Any
    low: Any = None
    high: Any = None
    in_place: bool = False
    slope: float = 1.0

    def is_clip(self) -> bool:
        """Whether a tensor that needs a gradient is clipped to what needs none."""
        if not isinstance(self.x, Tensor) or not self.x.requires_grad or not torch.is_grad_enabled():
            return False
        return not any(isinstance(bound, Tensor) and bound.requires_grad for bound in (self.low, self.high))

    def result(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func` gives, with the derivative from inside."""
        given = self.x.clone() if self.in_place else self.x
        before = self.x.clone() if self.in_place else self.x
        with torch.no_grad():
            y = func(
                *(given if arg is self.x else arg for arg in args),
                **{name: given if kwarg is self.x else kwarg for name, kwarg in kwargs.items()},
            )
        made = _FromInside.apply(y, before, self.low, self.high, self.slope)
        return self.x.copy_(made) if self.in_place else made


class _FromInside(torch.autograd.Function):
    """`y`, which came from clipping `x`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor, _x: Tensor, _low: Bound, _high: Bound, _slope: float) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004  # torch's call
        _, x, low, high, ctx.slope = inputs
        ctx.scalars = tuple(None if isinstance(bound, Tensor) else bound for bound in (low, high))
        ctx.save_for_backward(x, *(bound if isinstance(bound, Tensor) else None for bound in (low, high)))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, *tensors = ctx.saved_tensors
        low, high = (
            scalar if tensor is None else tensor for tensor, scalar in zip(tensors, ctx.scalars, strict=True)
        )
        grad = torch.where(inside(x, low, high), grads[0] * ctx.slope, 0.0)
        return None, grad.sum_to_size(x.shape).to(x.dtype), None, None, None


# What a call means, under torch's own names for its arguments.


def _clamp(input: Any, min: Any = None, max: Any = None, **_: Any) -> _Call:  # noqa: A002
    return _Call(input, min, max)


def _clamp_(input: Any, min: Any = None, max: Any = None) -> _Call:  # noqa: A002
    return _Call(input, min, max, in_place=True)


def _clamp_max(input: Any, max: Any) -> _Call:  # noqa: A002
    return _Call(input, None, max)


def _clamp_max_(input: Any, max: Any) -> _Call:  # noqa: A002
    return _Call(input, None, max, in_place=True)


def _hardtanh(input: Any, min_val: Any = -1.0, max_val: Any = 1.0, inplace: bool = False) -> _Call:  # noqa: A002
    return _Call(input, min_val, max_val, inplace)


def _relu6(input: Any, inplace: bool = False) -> _Call:  # noqa: A002
    return _Call(input, 0.0, 6.0, inplace)


def _hardsigmoid(input: Any, inplace: bool = False) -> _Call:  # noqa: A002
    return _Call(input, -3.0, 3.0, inplace, 1.0 / 6.0)


def _greater(input: Any, other: Any = None, **_: Any) -> _Call | None:  # noqa: A002
    if not (isinstance(other, Tensor) and isinstance(input, Tensor)):
        return None  # the greatest entry of one tensor
    return _Call(other, input) if other.requires_grad and not input.requires_grad else _Call(input, other)


def _less(input: Any, other: Any = None, **_: Any) -> _Call | None:  # noqa: A002
    greater = _greater(input, other)
    return None if greater is None else _Call(greater.x, None, greater.low)


_READ_BY: Final[Mapping[Callable[..., _Call | None], tuple[Any, ...]]] = {
    _clamp: (torch.clamp, torch.clip, Tensor.clamp, Tensor.clip, torch.clamp_min, Tensor.clamp_min),
    _clamp_: (
        *(torch.clamp_, torch.clip_, Tensor.clamp_, Tensor.clip_),
        *(torch.clamp_min_, Tensor.clamp_min_),
    ),
    _clamp_max: (torch.clamp_max, Tensor.clamp_max),
    _clamp_max_: (torch.clamp_max_, Tensor.clamp_max_),
    _hardtanh: (F.hardtanh,),
    _relu6: (F.relu6,),
    _hardsigmoid: (F.hardsigmoid,),
    _greater: (torch.maximum, Tensor.maximum, torch.fmax, Tensor.fmax, torch.max, Tensor.max),
    _less: (torch.minimum, Tensor.minimum, torch.fmin, Tensor.fmin, torch.min, Tensor.min),
}
_CLIPS: Final = {function: read for read, functions in _READ_BY.items() for function in functions}
