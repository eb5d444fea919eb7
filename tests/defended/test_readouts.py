"""A network whose last layer makes way for readouts: its features, and whose readout reads an image."""

import pytest
import torch
from torch import nn

from advbench.defended.model import DefendedModel, Placement
from advbench.defended.readouts import Readout, Readouts, last_layer
from advbench.threat.threat import Threat

X = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """Two linear layers; after the last one the logits may still be computed with."""

    def __init__(self, after: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU())
        self.head = nn.Linear(6, 3)
        self.after = after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(x))
        return logits if self.after == 1.0 else self.after * logits


def readout(weights: torch.Tensor, biases: torch.Tensor, classes: int = 3) -> Readout:
    return Readout(X[: len(weights)], weights, biases, classes, Threat("linf", 0.1).distance)


def test_the_last_layer_is_the_module_whose_output_is_the_logits() -> None:
    network = Network()
    assert last_layer(network, X) is network.head
    assert torch.equal(Readouts(network, X)(X), network.body(X))


def test_logits_that_are_computed_after_the_last_layer_are_features_themselves() -> None:
    network = Network(after=100.0)
    assert last_layer(network, X) is None
    assert torch.equal(Readouts(network, X)(X), network(X))


def test_an_image_is_read_by_the_nearest_anchor() -> None:
    network, weights, biases = Network(), torch.rand(2, 6), torch.tensor([0.5, -0.5])
    model = Readouts(network, X)
    model.readout = readout(weights, biases)
    near = X[[1, 0, 1]] + 0.01
    model.choose(near)
    logits, features = model(near), network.body(near)
    rows = torch.tensor([1, 0, 1])
    score = (features * weights[rows]).sum(1) + biases[rows]
    assert torch.allclose(logits[:, 1] - logits[:, 0], score)
    assert bool((logits[:, 2] < logits[:, :2].amin(1)).all()), "the third class never wins"


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_there_are_as_many_logits_as_the_network_has(classes: int) -> None:
    model = Readouts(Network(), X)
    model.readout = readout(torch.rand(1, 6), torch.zeros(1), classes)
    model.choose(X)
    assert model(X).shape == (4, classes)


def test_a_defense_finds_its_place_in_the_network_under_the_readouts() -> None:
    network = Network()
    zero = Placement(torch.zeros_like, at="body.1")
    features = DefendedModel(Readouts(network, X), [zero])(X)
    assert torch.equal(features, torch.zeros(4, 6))
