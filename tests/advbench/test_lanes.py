"""Batches are filled up, so that the kernels that a library chooses do not depend on the batch's size."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import DefendedModel, Placement
from advbench.batch_size import fitting_lanes
from advbench.defended import LANES
from advbench.defenses import Round
from tests.advbench.small import Network, run


class Watched(nn.Module):
    """A network that notes how many images it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.sizes: set[int] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.add(len(x))
        logits: Tensor = self.network(x)
        return logits


@pytest.mark.parametrize("batch_size", [1, 7, 16, 50])
def test_the_network_sees_multiples_of_eight_images_only(
    network: Network, data: TensorDataset, batch_size: int
) -> None:
    watched = Watched(network)
    run(watched, data, batch_size=batch_size, defenses={"round": Round()})
    assert {size % LANES for size in watched.sizes} == {0}


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("bpda", [False, True])
def test_filling_up_changes_neither_logits_nor_gradients(network: Network, count: int, bpda: bool) -> None:
    network.eval()
    placements = [
        Placement(Round(step=0.5)),
        Placement(lambda z: z * 2, "features"),
        Placement(Round(), "logits"),
    ]
    x = torch.rand(count, 1, 4, 4)
    results = []
    for lanes in (1, 8):
        leaf = x.clone().requires_grad_()
        logits = DefendedModel(network, placements, bpda=bpda, lanes=lanes)(leaf)
        logits.square().sum().backward()
        results.append((logits, leaf.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    assert results[1][0].shape == (count, 3)


def test_a_program_for_one_batch_size_is_given_no_more_than_it_takes() -> None:
    class Single(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(1, 16)[:, :3]

    assert fitting_lanes(Single(), (), torch.rand(1, 1, 4, 4)) == 1
    assert fitting_lanes(nn.Flatten(), (), torch.rand(1, 1, 4, 4)) == LANES


def test_no_images_at_all_give_no_logits(network: Network) -> None:
    network.eval()
    assert DefendedModel(network, [], lanes=8)(torch.rand(0, 1, 4, 4)).shape == (0, 3)
