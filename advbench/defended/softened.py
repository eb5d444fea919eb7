"""A network whose steps have a soft derivative; its forward pass is the network's own, bit for bit.

Steps that torch's functions take are seen as they are called (`soft_steps`). Straight-through estimators are
often classes of the user's, `torch.autograd.Function`, whose forward pass autograd does not follow. Their
node in the graph is given the gradient that their own forward pass has when its steps are softened.

What is not seen: steps in compiled or scripted code, on `.data` and under `no_grad`, and casts to integers. A
function of the user's that draws random numbers on a GPU meets others in the backward pass.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from advbench.defended.soft_steps import Softening
from advbench.results.surrogates import SOFT_STEPS

WIDTHS: Final = (0.03, 0.1, 0.3, 1.0)
"""Of the noise that softens a step, in root mean squares of what the step is given."""

_NOT_THE_USERS: Final = ("torch", "advbench")


class Softened(nn.Module):
    """A network that is differentiated along soft steps.

    Args:
        network: pixels `(n, c, h, w)` to logits `(n, k)`.
        width: of the noise that softens the steps.
    """

    def __init__(self, network: nn.Module, width: float) -> None:
        super().__init__()
        self.network = network
        self.width = width

    @property
    def __name__(self) -> str:
        """What tables call it."""
        return soft_name(self.width)

    def forward(self, x: Tensor) -> Tensor:
        """The network's logits, `(n, k)`."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            logits: Tensor = self.network(x)
            return logits
        return _softened(self.network, x, self.width)[0]


def soft_name(width: float) -> str:
    """What tables call soft steps of a width."""
    return f"{SOFT_STEPS}:width={width:g}"


@torch.enable_grad()
def steps_inside(network: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """How many steps that can be softened a network takes between pixels `(n, c, h, w)` and logits."""
    return _softened(network, x.detach().clone().requires_grad_(), WIDTHS[0])[1]


def _softened(network: Callable[[Tensor], Tensor], x: Tensor, width: float) -> tuple[Tensor, int]:
    mode = Softening(width)
    with mode, _watched(mode) as calls:
        y = network(x)
    hooked = [call for call in calls if call.node.next_functions]
    for call in hooked:
        call.node.register_hook(_gradient_of(call.forward, call.args, call.state, width))
    return y, mode.softened + len(hooked)


class _Call(NamedTuple):
    """A call of a function of the user's that took steps."""

    node: Any
    """Its node in the graph, which is its context too."""
    forward: Callable[..., Any]
    """Its forward pass, on a context and its arguments."""
    args: tuple[Any, ...]
    """As they were before."""
    state: Tensor
    """Of torch's generator before: a function that draws has the same draws again."""


class _Context:
    """Stands in for the context of a function whose forward pass is run as plain code."""

    def __init__(self, count: int) -> None:
        self.needs_input_grad = (True,) * count

    def save_for_backward(self, *tensors: Any) -> None:
        """Nothing is saved: autograd follows the pass itself."""

    mark_dirty = mark_non_differentiable = save_for_forward = set_materialize_grads = save_for_backward


def _users_functions(of: type[Function] = Function) -> Iterator[type[Function]]:
    for function in of.__subclasses__():
        yield from _users_functions(function)
        is_the_users = function.__module__.partition(".")[0] not in _NOT_THE_USERS
        if is_the_users and isinstance(vars(function).get("forward"), staticmethod):
            yield function


@contextmanager
def _watched(mode: Softening) -> Iterator[list[_Call]]:
    """The calls of the user's functions in which steps are taken meanwhile."""
    calls: list[_Call] = []
    functions = set(_users_functions())
    before = [
        (function, name, vars(function)[name])
        for function in functions
        for name in ("forward", "setup_context")
        if name in vars(function)
    ]
    try:
        for function in functions:
            if "setup_context" in vars(function):
                _watch_apart(function, mode, calls)
            elif function.setup_context is Function.setup_context:
                watching = _watching(function.forward, mode, calls)
                function.forward = staticmethod(watching)  # type: ignore[method-assign]  # `_watched` puts it back
        yield calls
    finally:
        for function, name, own in before:
            setattr(function, name, own)


def _copied(args: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(arg.detach().clone() if isinstance(arg, Tensor) else arg for arg in args)


def _watching(own: Callable[..., Any], mode: Softening, calls: list[_Call]) -> Callable[..., Any]:
    @wraps(own)
    def forward(ctx: Any, *args: Any) -> Any:
        taken, copied, state = mode.taken, _copied(args), torch.get_rng_state()
        y = own(ctx, *args)
        if mode.taken > taken and isinstance(y, Tensor):
            calls.append(_Call(ctx, own, copied, state))
        return y

    return forward


def _watch_apart(function: type[Function], mode: Softening, calls: list[_Call]) -> None:
    """Watch a function whose forward pass has no context, which is set up afterwards."""
    own: Callable[..., Any] = function.forward
    set_up: Callable[..., Any] = function.setup_context
    stepped: list[tuple[tuple[Any, ...], Tensor]] = []

    @wraps(own)
    def forward(*args: Any) -> Any:
        taken, copied, state = mode.taken, _copied(args), torch.get_rng_state()
        y = own(*args)
        stepped[:] = [(copied, state)] if mode.taken > taken and isinstance(y, Tensor) else []
        return y

    @wraps(set_up)
    def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
        calls.extend(_Call(ctx, lambda _, *args: own(*args), args, state) for args, state in stepped)
        return set_up(ctx, inputs, output)

    function.forward = staticmethod(forward)  # type: ignore[method-assign]  # `_watched` puts it back
    function.setup_context = staticmethod(setup_context)  # type: ignore[method-assign]  # `_watched` puts it back


def _gradient_of(
    forward: Callable[..., Any], args: tuple[Any, ...], state: Tensor, width: float
) -> Callable[..., Any]:
    """A hook that puts the gradient through soft steps in the place of a function's own.

    It must not hold the node, which holds the hook: such a circle through C++ is never freed.
    """

    def hook(inner: tuple[Any, ...], outer: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if outer[0] is None:
            return None
        given = [_as_leaf(arg) for arg in args]
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), Softening(width):
            torch.set_rng_state(state)
            # What is changed in place must not be a leaf.
            passed = [arg.clone() if isinstance(arg, Tensor) else arg for arg in given]
            y = forward(_Context(len(given)), *passed)
        leaves = [arg for arg in given if isinstance(arg, Tensor)]
        if not (isinstance(y, Tensor) and y.requires_grad and len(leaves) == len(inner)):
            return None
        moving = [leaf for leaf in leaves if leaf.requires_grad]
        grads = iter(torch.autograd.grad(y, moving, outer[0].to(y.dtype), allow_unused=True))
        through = [next(grads) if leaf.requires_grad else None for leaf in leaves]
        # Autograd refuses a gradient where the function says that there is none.
        pairs = zip(inner, through, strict=True)
        return tuple(own if own is None or soft is None else soft for own, soft in pairs)

    return hook


def _as_leaf(arg: Any) -> Any:
    return arg.detach().requires_grad_(arg.is_floating_point()) if isinstance(arg, Tensor) else arg
