"""The derivative of a clip at its bounds, as an attack needs it: from inside.

At a bound a clip has two derivatives, 1 towards the inside and 0 towards the outside, and torch has changed
its choice: `clamp` takes the first up to 2.13 and the second from 2.14 on, `hardtanh` and `relu6` always the
second, `minimum` and `maximum` the mean. Black and white pixels, and nearly every pixel of an attack's
iterates, lie at the bounds of a network that clips its input. They can move to the inside alone, so that the
derivative from there is the right one, whatever torch takes.

After the forward pass, which is torch's own, the graph that it left is searched for clips, and a hook on each
one mends what its backward pass gives at the bounds. Nothing is changed before, so no bit of the logits is. A
compiled model keeps its graph to itself; there `Inward` is part of what is compiled. Clips that neither sees
(`torch.where`, kernels of the user's own) keep torch's derivative, and the indicator `border_gradient` tells.

A bound counts as reached where rounding alone has led beyond it, as on the way from pixels to normalised
values and back. A clip whose bounds are equal is a constant. Torch's derivative stays where a bound moves
with the pixels; in `relu`; and, as activations like it, in `hardtanh`, `relu6` and `hardsigmoid` behind a
layer with weights. Compiled code does not show what is behind one: the first two have the derivative from
inside there everywhere, and `hardsigmoid` has torch's.
"""

import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from advbench.defended.graph import nodes_between
from advbench.defended.inward import Inward, inside

_SAVED: Final = {
    "Clamp": ("min", "max"),
    "ClampMin": ("min", ""),
    "ClampMax": ("", "max"),
    "Hardtanh": ("min_val", "max_val"),
    "Hardsigmoid": ("", ""),
    "Maximum": ("other", ""),
    "Fmax": ("other", ""),
    "Minimum": ("", "other"),
    "Fmin": ("", "other"),
}
"""What autograd calls the lower and the upper bound that it has saved, by operation."""

_ACTIVATIONS: Final = ("Hardtanh", "Hardsigmoid")
_WEIGHTED: Final = ("Convolution", "Addmm", "Mm", "Bmm", "Baddbmm")

_OPAQUE: Final = "CompiledFunction"

_compiled: Final[WeakKeyDictionary[nn.Module, bool]] = WeakKeyDictionary()
"""What is known of networks: whether something in them is compiled."""


def clipped_from_inside(
    model: Callable[[Tensor], Tensor], x: Tensor, network: nn.Module | None = None
) -> Tensor:
    """What a model gives at `x`, bit for bit, with a graph whose clips have the derivative from inside.

    Args:
        model: runs; any function of `x`.
        x: what will be differentiated by, `(n, ...)`; where it needs no gradient there is nothing to mend.
        network: the module that the model runs, if it is one; it is remembered whether that is compiled.

    Returns:
        What `model(x)` does.
    """
    if not (x.requires_grad and torch.is_grad_enabled()):
        return model(x)
    if network is not None and _has_compiled(network):
        return _traced(model, x)
    y = model(x)
    if not _mend(y, x):
        return y
    if network is not None:  # a function that the network calls is compiled
        _compiled[network] = True
    return _traced(model, x)


def _has_compiled(network: nn.Module) -> bool:
    known = _compiled.get(network)
    if known is None:
        known = _compiled[network] = any(map(_is_compiled, network.modules()))
    return known


def _is_compiled(module: nn.Module) -> bool:
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return in_place or ("torch._dynamo" in sys.modules and isinstance(module, torch._dynamo.OptimizedModule))


def _traced(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What a model gives that runs compiled code."""
    with Inward():
        y = model(x)
    _mend(y, x)
    return y


def _mend(y: Any, x: Tensor) -> bool:
    """Mend the clips between `x` and `y`; whether compiled code, into which nobody sees, lies there too."""
    compiled = False
    for node in nodes_between(x, y) if isinstance(y, Tensor) else ():
        operation = _operation(node)
        if operation in _SAVED and (operation not in _ACTIVATIONS or _reads_pixels(node, x)):
            _mend_one(node, operation, x)
        compiled |= operation == _OPAQUE
    return compiled


def _reads_pixels(node: Node, x: Tensor) -> bool:
    """Whether a way leads from a node to `x` past every layer with weights."""
    waiting, seen = [node], {node}
    while waiting:
        for following, _ in waiting.pop().next_functions:
            if following is None or following in seen or _operation(following) in _WEIGHTED:
                continue
            if following is x.grad_fn or _leaf(following) is x:
                return True
            seen.add(following)
            waiting.append(following)
    return False


def _operation(node: Node) -> str:
    name = type(node).__name__
    return name[: name.find("Backward")]


def _leaf(node: Any) -> Any:
    """The leaf whose gradient a node accumulates; None where it does something else."""
    return node.variable if type(node).__name__ == "AccumulateGrad" else None


class _Clip(NamedTuple):
    """A clip in a graph.

    Args:
        place: of the clipped tensor among the operation's inputs.
        x: the clipped tensor as it was in the forward pass.
        bounds: the lower and the upper one.
        slope: the derivative inside.
    """

    place: int
    x: Tensor
    bounds: tuple[Any, Any]
    slope: float


def _mend_one(node: Node, operation: str, x: Tensor) -> None:
    try:
        clip = _read(node, operation, x)
    except RuntimeError:  # freed, or changed in place since: the backward pass will say so better
        return
    if clip is None:
        return

    # It must not hold the node, which holds the hook: such a circle through C++ is never freed.
    def mended(inner: tuple[Any, ...], outer: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if inner[clip.place] is None or outer[0] is None:
            return None
        return (*inner[: clip.place], _grad_from_inside(clip, outer[0]), *inner[clip.place + 1 :])

    node.register_hook(mended)


def _read(node: Any, operation: str, x: Tensor) -> _Clip | None:
    """The clip that a node stands for; None where what bounds it moves with the pixels."""
    low, high = (getattr(node, f"_saved_{name}") if name else None for name in _SAVED[operation])
    if operation == "Hardsigmoid":
        return _Clip(0, node._saved_self, (-3.0, 3.0), 1.0 / 6.0)
    moves = [not _is_constant(following, x) for following, _ in node.next_functions]
    if sum(moves) != 1:
        return None
    place = moves.index(True)
    if place == 0:
        return _Clip(0, node._saved_self, (low, high), 1.0)
    if "other" not in _SAVED[operation]:
        return None  # a constant between bounds that move
    bounds = tuple(None if bound is None else node._saved_self for bound in (low, high))
    return _Clip(place, node._saved_other, (bounds[0], bounds[1]), 1.0)


def _is_constant(node: Any, x: Tensor) -> bool:
    """Whether what a node stands for is another leaf than `x`, such as a weight."""
    return node is None or (_leaf(node) is not None and _leaf(node) is not x)


def _grad_from_inside(clip: _Clip, outer: Tensor) -> Tensor:
    """The clipped tensor's gradient for that of the result, `outer`, which may have been broadcast."""
    through = outer if clip.slope == 1.0 else outer * clip.slope
    grad = torch.where(inside(clip.x, *clip.bounds), through, 0.0)
    return grad.sum_to_size(clip.x.shape).to(clip.x.dtype)
