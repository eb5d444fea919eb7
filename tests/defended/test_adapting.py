"""Networks that adapt run as copies; what was given is left as it was."""

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from advbench.defended.adapting import Adapting, Episode, Gradient, adapted
from advbench.errors import ModelError
from tests.adapting import AntiAdversary, BatchNormed, Entropy, Plain, Reaching


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def answer(model: Adapting, x: Tensor, episode: Episode) -> Tensor:
    with adapted(episode):
        logits: Tensor = model(x)
    return logits


@pytest.mark.parametrize("kind", [BatchNormed, Entropy, AntiAdversary])
def test_a_network_is_left_as_it_was(kind: type[nn.Module]) -> None:
    network = kind()
    before = copy.deepcopy(network.state_dict())
    model, episode = Adapting(network), Episode(Adapting(network).initial)
    with torch.no_grad():
        first, again = answer(model, images(), episode), answer(model, images(), episode)
        meant = copy.deepcopy(network)(images().clone()) if kind is BatchNormed else first
    assert torch.equal(first, again), "each pass begins in the same state"
    assert torch.allclose(first, meant)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())
    model.check_unchanged()


def test_a_stream_goes_on_from_what_a_batch_has_left() -> None:
    network, x = Entropy(), images()
    model, straight = Adapting(network), copy.deepcopy(network)
    state = model.initial
    for _ in range(3):
        episode = Episode(state)
        with torch.no_grad():
            logits = answer(model, x, episode)
        assert torch.equal(logits, straight(x).detach())
        assert episode.after is not None
        state = episode.after


def test_the_static_network_is_found_inside_or_is_the_network_in_evaluation_mode() -> None:
    x = images()
    inside, outside = Adapting(AntiAdversary()), Adapting(BatchNormed())
    assert inside.static(x).name == "network"
    assert torch.equal(inside(x), Plain()(x))
    assert outside.static(x).name == ""
    assert torch.equal(outside(x), BatchNormed().eval()(x))
    assert (inside.batch_layers, outside.batch_layers) == (0, 1)


def test_an_attribute_says_which_network_is_static() -> None:
    network = AntiAdversary()
    network.spare = Plain()
    network.static_network = "spare"  # type: ignore[assignment]
    assert Adapting(network).static(images()).name == "spare"


@pytest.mark.parametrize("gradient", ["whole", "held", "static"])
def test_every_gradient_has_the_adapted_answer(gradient: Gradient) -> None:
    for kind in (BatchNormed, Entropy, AntiAdversary):
        model = Adapting(kind())
        with torch.no_grad():
            judged = answer(model, images(), Episode(model.initial))
        x = images().requires_grad_()
        logits = answer(model, x, Episode(model.initial, gradient))
        (grad,) = torch.autograd.grad(logits.square().sum(), x)
        assert torch.equal(logits.detach(), judged)
        # The optimiser's step is in place, where no derivative passes.
        assert bool((grad != 0.0).any()) == (not (kind is Entropy and gradient == "whole"))


def test_the_whole_gradient_is_that_of_the_batch() -> None:
    model = Adapting(BatchNormed().double())
    x, v = images().double(), torch.randn(6, 1, 8, 8, dtype=torch.float64)
    point = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(answer(model, point, Episode(model.initial)).square().sum(), point)
    h = 1e-6
    up, down = (answer(model, x + sign * h * v, Episode(model.initial)).square().sum() for sign in (1, -1))
    assert float((grad * v).sum()) == pytest.approx(float((up - down) / (2 * h)), rel=1e-4)


def test_the_held_gradient_is_that_of_the_network_where_it_was_shown_last() -> None:
    network, x = AntiAdversary(), images().requires_grad_()
    model = Adapting(network)
    (grad,) = torch.autograd.grad(answer(model, x, Episode(model.initial, "held")).square().sum(), x)
    (meant,) = torch.autograd.grad(network(x).square().sum(), x)
    assert torch.allclose(grad, meant, atol=1e-6)


def test_what_a_copy_reaches_into_is_put_back_and_told() -> None:
    network = Reaching()
    model, before = Adapting(network), network.head.weight.detach().clone()
    with torch.no_grad():
        answer(model, images(), Episode(model.initial))
    with pytest.raises(ModelError, match="changes itself for good"):
        model.check_unchanged()
    assert torch.equal(network.head.weight, before)


class _Odd(nn.Module):
    def __init__(self, fault: Literal["fails", "shape"]) -> None:
        super().__init__()
        self.linear, self.fault = nn.Linear(64, 10), fault

    def forward(self, x: Tensor) -> Tensor:
        if self.fault == "fails":
            raise ValueError("no such step")
        return x


def test_faults_are_told_in_a_line() -> None:
    for fault, told in (("fails", "fails while it adapts to a batch of 6 images"), ("shape", "must return")):
        model = Adapting(_Odd(fault))  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=told):
            answer(model, images(), Episode(model.initial))


def test_what_cannot_be_copied_is_refused() -> None:
    network = Plain()
    network.lines = (line for line in "ab")  # type: ignore[assignment]
    with pytest.raises(ModelError, match="this one cannot be"):
        Adapting(network)
