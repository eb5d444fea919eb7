"""Networks that are differentiated along soft steps, those of a user's own functions among them."""

import gc
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function

from advbench.defended.model import DefendedModel, Placement, network_of
from advbench.defended.softened import WIDTHS, Softened, soft_name, steps_inside
from advbench.defended.surrogate import decider_of
from advbench.results.surrogates import SOFT_STEPS
from benchmarks.adaptive.binarised import StraightThrough as Sign


class InPlace(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.sign_()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class Levels(Function):
    """With a context that is set up apart from the forward pass."""

    @staticmethod
    def forward(x: Tensor, levels: int) -> Tensor:
        return (x * levels).round() / levels

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class Doubled(Function):
    """Takes no step, and has a derivative of its own making."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return 5 * grads[0]


bound_early: Callable[[Tensor], Tensor] = Sign.apply


class Of(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def pixels() -> Tensor:
    return torch.randn(3, 7, generator=torch.Generator().manual_seed(0))


def gradient(function: Callable[[Tensor], Tensor], width: float = 0.3) -> Tensor:
    x = pixels().requires_grad_()
    y = Softened(Of(function), width)(x)
    assert torch.equal(y.detach(), function(pixels()))
    (grad,) = torch.autograd.grad(y.sum(), x)
    return grad


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (Sign.apply, torch.sign),
        (bound_early, torch.sign),
        (lambda x: InPlace.apply(x * 1.0), torch.sign),
        (lambda x: Levels.apply(x, 3), lambda x: (x * 3).round() / 3),
        (lambda x: Sign.apply(Sign.apply(x) * x), lambda x: torch.sign(torch.sign(x) * x)),
    ],
    ids=["estimator", "bound early", "in place", "context apart", "one after another"],
)
def test_a_function_of_the_users_has_the_gradient_of_the_same_steps_in_plain_code(
    function: Callable[[Tensor], Tensor], plain: Callable[[Tensor], Tensor]
) -> None:
    assert torch.allclose(gradient(function), gradient(plain), rtol=1e-5)


def test_a_function_without_steps_keeps_its_own_gradient() -> None:
    assert torch.equal(gradient(Doubled.apply), torch.full((3, 7), 5.0))


def test_functions_are_left_as_they_were_even_where_the_network_fails() -> None:
    before = dict(vars(Sign)), dict(vars(Levels))
    gradient(Sign.apply)

    def failing(x: Tensor) -> Tensor:
        raise RuntimeError(str(len(Sign.apply(x))))

    with pytest.raises(RuntimeError, match="3"):
        Softened(Of(failing), 0.3)(pixels().requires_grad_())
    for function, known in zip((Sign, Levels), before, strict=True):
        assert {name: vars(function)[name] for name in ("forward", "backward")} == {
            name: known[name] for name in ("forward", "backward")
        }
    assert vars(Levels)["setup_context"] is before[1]["setup_context"]
    x = pixels().requires_grad_()
    torch.autograd.backward(Sign.apply(x).sum())
    assert torch.equal(x.grad, (x.abs() <= 1).float())  # type: ignore[arg-type]  # it is there


def test_the_graph_is_freed() -> None:
    x = pixels().requires_grad_()
    y = Softened(Of(lambda x: Sign.apply(x * 2)), 0.3)(x)
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None


def test_steps_are_counted_and_smooth_networks_have_none() -> None:
    assert steps_inside(lambda x: Sign.apply(x.sign()), pixels()) == 2
    assert steps_inside(lambda x: x + (x.round() - x).detach(), pixels()) == 1
    assert steps_inside(nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Hardtanh()), pixels()) == 0


def test_steps_that_autograd_does_not_follow_cannot_be_softened() -> None:
    def hidden(x: Tensor) -> Tensor:
        with torch.no_grad():
            return x.sign()

    assert steps_inside(hidden, pixels()) == 0


def test_what_is_softened_is_the_network_itself() -> None:
    network = nn.Sequential(nn.Linear(7, 5))
    softened = Softened(network, WIDTHS[0])
    assert network_of(softened) is network
    assert decider_of(softened) is network
    assert soft_name(0.1) == f"{SOFT_STEPS}:width=0.1"
    assert not softened(pixels()).sub(network(pixels())).any()


def test_a_defense_inside_keeps_its_substitute() -> None:
    network = nn.Sequential(nn.Identity(), Of(torch.sign))
    steps = DefendedModel(Softened(network, 0.3), [Placement(torch.round, at="0")], bpda=True)
    x = pixels().requires_grad_()
    (grad,) = torch.autograd.grad(steps(x).sum(), x)
    rounded = pixels().round().requires_grad_()
    (expected,) = torch.autograd.grad(Softened(Of(torch.sign), 0.3)(rounded).sum(), rounded)
    assert torch.equal(grad, expected)


class Stochastic(Function):
    """The sign of noisy values."""

    seen: ClassVar[list[Tensor]] = []

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        noise = torch.rand_like(x.detach())
        Stochastic.seen.append(noise)
        return (x + noise - 0.5).sign()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


def test_a_function_that_draws_has_the_same_draws_in_the_backward_pass() -> None:
    Stochastic.seen.clear()
    x = torch.linspace(-1, 1, 8).view(2, 4).requires_grad_()
    torch.manual_seed(5)
    softened = Softened(Calling(Stochastic), 0.3)(x)
    state = torch.get_rng_state()
    softened.sum().backward()
    forward, backward = Stochastic.seen
    assert torch.equal(forward, backward)
    assert torch.equal(torch.get_rng_state(), state)


class Calling(nn.Module):
    """A function of the user's as a network."""

    def __init__(self, function: type[Function]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.function.apply(x)
        return result
