"""Which images are right is a question of the images alone, and asking leaves the model as it was."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from advbench.training import accuracy
from advbench.training.accuracy import correct
from tests.small import Network

CPU = torch.device("cpu")


class Reads(nn.Module):
    """Logits that say which class is written into the first pixel, in quarters, or NaN where it is white."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        written = (4 * x[:, 0, 0, 0]).round().long()
        logits = nn.functional.one_hot(written, 5).float()
        return torch.where(written[:, None] == 4, torch.nan, logits)


def written_in(*written: float) -> TensorDataset:
    x = torch.zeros(len(written), 1, 2, 2)
    x[:, 0, 0, 0] = torch.tensor(written) / 4
    return TensorDataset(x, torch.tensor([1, 2, 3, 0])[: len(written)])


def test_answers_come_in_the_order_that_was_asked_and_nan_is_wrong() -> None:
    images = written_in(1, 0, 3, 4)
    assert correct(Reads(), images, range(4), CPU).tolist() == [True, False, True, False]
    assert correct(Reads(), images, [2, 1, 2], CPU).tolist() == [True, False, True]
    none = correct(Reads(), images, [], CPU)
    assert (none.dtype, none.shape) == (torch.bool, (0,))


def test_a_view_is_what_the_model_sees() -> None:
    found = correct(Reads(), written_in(0, 1, 2), range(3), CPU, lambda batch: batch.x + 0.25)
    assert found.tolist() == [True, True, True]


def test_the_model_is_asked_in_evaluation_and_left_as_it_was(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.train()
    before = copy.deepcopy(network.state_dict())
    whole = correct(network, data, range(50), CPU)
    monkeypatch.setattr(accuracy, "_AT_A_TIME", 7)
    assert torch.equal(correct(network, data, range(50), CPU), whole)
    assert whole.tolist() == [False] * 10 + [True] * 40
    assert network.training
    assert all(each.requires_grad for each in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
