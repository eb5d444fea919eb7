"""A network is shown a sample of clean images under each usual normalisation, and left as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench.data.batches import read_batch
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.normalized import Normalized
from advbench.errors import ModelError
from advbench.evaluation.measure_normalization import measure
from advbench.models.normalization import NormalizationName, candidates
from advbench.models.registry import PIXELS as AS_THEY_ARE
from advbench.models.registry import Normalization

MNIST = Normalization((0.1307,), (0.3081,))


class Wave(nn.Module):
    """A network that a wrong scale or shift of its input confuses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(288, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(torch.sin(3 * self.conv(x))).flatten(1))
        return logits


@pytest.mark.parametrize("name", ["none", "dataset", "half", "255"])
def test_a_network_is_measured_under_what_it_was_trained_with(name: NormalizationName) -> None:
    data = load_dataset("digits", Place(root=Path(), split="test"))
    whole = read_batch(data, range(len(data)))
    constants = candidates(MNIST, 1)[name]
    torch.manual_seed(0)
    network = Wave()
    with torch.no_grad():  # so that it learns as well from pixels up to 255 as from those up to 1
        network.conv.weight.mul_(constants.std[0])
    model = Normalized(network, constants.mean, constants.std)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(whole.x), whole.y).backward()  # type: ignore[no-untyped-call]  # untyped
        optimizer.step()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = measure(network, data, MNIST, torch.device("cpu"), 0)
    assert found.standing.near == (name,)
    assert set(found.accuracies) == {"none", "dataset", "half", "255"}
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert measure(network, data, MNIST, torch.device("cpu"), 0, at_once=7).standing == found.standing


def striped(n: int) -> LabelledImages:
    """Images of one colour whose class is told by it, and by nothing else."""
    labels = np.arange(n) % 2
    x = torch.from_numpy(0.2 + 0.6 * labels).float().view(n, 1, 1, 1).expand(n, 1, 2, 2)
    return LabelledImages(TensorDataset(x, torch.from_numpy(labels)), labels, ("dark", "bright"))


class Threshold(nn.Module):
    """Class 1 where the mean of what it is given lies above an edge; it fails on so many images and more."""

    def __init__(self, edge: float, fails_from: int = 10_000) -> None:
        super().__init__()
        self.edge, self.fails_from = edge, fails_from
        self.shown: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(len(x))
        if len(x) >= self.fails_from:
            raise MemoryError
        z = x.flatten(1).mean(1, keepdim=True) - self.edge
        return torch.cat([-z, z], dim=1) * torch.tensor([1.0, 3.0])


def test_candidates_that_give_one_function_are_put_together() -> None:
    """Without a bias, 255 times the pixels are 255 times the logits; half the range less moves these too."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    found = measure(network, striped(40), AS_THEY_ARE, torch.device("cpu"), 0)
    assert found.alike == {"255": "none"}
    assert list(found.answers) == ["none", "half"]


def test_where_memory_does_not_suffice_images_are_shown_one_by_one() -> None:
    network = Threshold(0.5, fails_from=2)
    found = measure(network, striped(32), AS_THEY_ARE, torch.device("cpu"), 0)
    assert set(network.shown[1:]) == {1}
    assert found.accuracies["none"] == 1.0
    looked_at = len(found.labels) // 2
    assert looked_at >= 8
    assert sorted(found.labels) == [0] * looked_at + [1] * looked_at


def test_a_network_that_takes_no_candidate_is_refused_with_its_first_reason() -> None:
    with pytest.raises(ModelError, match="cannot take images of shape"):
        measure(nn.Linear(7, 2), striped(8), MNIST, torch.device("cpu"), 0)


def test_one_that_only_guesses_is_given_up_with_all_candidates_left() -> None:
    network = Threshold(-1e9)
    found = measure(network, striped(1024), AS_THEY_ARE, torch.device("cpu"), 0)
    assert found.standing.at_chance
    assert set(found.standing.near) == set(found.answers)
    assert len(found.labels) == 256
