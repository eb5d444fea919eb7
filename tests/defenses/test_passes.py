"""What a gradient step with BPDA calls: the defense and its substitute once each, and nothing else."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement, Threat
from advbench.attacks import PGD
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.substitutes import make_substitute
from advbench.draws.sampling import Sampling, is_random
from advbench.threat.losses import margin
from tests.defenses.families import FAMILIES, SUBSTITUTES, called, images, output_shape


class Counted:
    """A map that counts how often it is called."""

    def __init__(self, function: Any) -> None:
        self.function, self.random, self.count = function, is_random(function), 0

    def __call__(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        self.count += 1
        return called(self.function, x, draws) if draws is not None else self.function(x)


class Taken(nn.Module):
    """A network of a given number of inputs that counts its forward and its backward passes."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 10))
        self.forward_passes = self.backward_passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forward_passes += 1
        if x.requires_grad:
            x.register_hook(self._passed)  # type: ignore[no-untyped-call]  # torch's own
        logits: Tensor = self.network(x)
        return logits

    def _passed(self, _grad: Tensor) -> None:
        self.backward_passes += 1


def behind(name: str, which: str) -> tuple[Counted, Counted, Taken, Placement]:
    """A counted defense and substitute, before a network that takes what the defense gives."""
    g = FAMILIES[name].make(3)
    defense, substitute = Counted(g), Counted(make_substitute(which, g))
    at = "logits" if FAMILIES[name].takes == "logits" else "input"
    shape = (1, 3, 8, 8) if at == "logits" else output_shape(name, (1, 3, 8, 8))
    return defense, substitute, Taken(torch.Size(shape).numel()), Placement(defense, at, substitute)


@pytest.mark.parametrize(("name", "which"), [each for each in SUBSTITUTES if each[1] != "exact"])
def test_a_step_calls_the_defense_and_its_substitute_once(name: str, which: str) -> None:
    defense, substitute, network, placement = behind(name, which)
    model = DefendedModel(network, [placement], bpda=True)
    x, y = images(4, 3, 8, 8), torch.arange(4)
    loss_and_gradient(model, x, lambda logits, piece: margin(logits, y[piece]))
    assert (defense.count, substitute.count) == (1, 1)
    assert (network.forward_passes, network.backward_passes) == (1, 1)


def test_a_step_over_several_draws_calls_both_once_a_draw() -> None:
    defense, substitute, network, placement = behind("tv-min", "smooth")
    model = DefendedModel(network, [placement], bpda=True, sampling=Sampling(0, "", 5))
    x, y = images(4, 3, 8, 8), torch.arange(4)
    loss_and_gradient(model, x, lambda logits, piece: margin(logits, y[piece]))
    assert (defense.count, substitute.count) == (5, 5)
    assert (network.forward_passes, network.backward_passes) == (5, 5)


@pytest.mark.parametrize("early_stop", [True, False])
def test_an_attack_calls_the_defense_as_often_as_the_network_and_the_substitute_once_a_gradient(
    early_stop: bool,
) -> None:
    defense, substitute, network, placement = behind("jpeg", "soft")
    model = DefendedModel(network, [placement], bpda=True)
    x, y = images(4, 3, 8, 8), torch.arange(4)
    attack = PGD(steps=7, early_stop=early_stop)
    attack(model, x, y, Threat("linf", 0.01), Draws(0, torch.arange(4)))
    assert defense.count == network.forward_passes <= 8  # the last iterate is measured, too
    assert substitute.count == network.backward_passes <= 7
    assert early_stop or substitute.count == 7


def test_each_element_of_a_chain_is_called_once() -> None:
    pairs = [
        behind(name, which)[:2] for name, which in (("jpeg", "soft"), ("round", "soft"), ("median", "smooth"))
    ]
    chain = [Placement(defense, "input", substitute) for defense, substitute in pairs]
    network = Taken(192)
    x, y = images(4, 3, 8, 8), torch.arange(4)
    loss_and_gradient(
        DefendedModel(network, chain, bpda=True), x, lambda logits, piece: margin(logits, y[piece])
    )
    assert [(defense.count, substitute.count) for defense, substitute in pairs] == [(1, 1)] * 3
    assert (network.forward_passes, network.backward_passes) == (1, 1)
