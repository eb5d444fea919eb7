"""Batches are filled up, so that the kernels that a library chooses do not depend on the batch's size."""

from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import DefendedModel, Placement
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.lanes import LANES, roomy
from advbench.defenses import Round
from advbench.errors import ModelError
from advbench.speed.batch_size import fitting_lanes
from advbench.threat.losses import margin
from tests.small import Network, run


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
    # A copy is compared with the network on other numbers of images, which decides no result.
    run(watched, data, batch_size=batch_size, defenses={"round": Round()}, fast=False)
    # Of each defended model one image is looked at alone, to see whether its batch makes a difference.
    assert [size for size in watched.sizes if size % LANES] == [1]


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


class Written(nn.Module):
    """Has the size of its batches written into its code."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.size, self.conv, self.head = size, nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(x).reshape(self.size or len(x), -1))
        return logits


@pytest.mark.parametrize(("size", "batch_size"), [(64, "auto"), (64, 16), (10, "auto"), (12, 12), (1, 128)])
def test_a_network_for_one_number_of_images_is_attacked_and_judged_in_these(
    size: int, batch_size: int | str, data: TensorDataset
) -> None:
    said: list[str] = []
    x = data.tensors[0]
    y = Written(0)(x).argmax(1)
    settings: dict[str, Any] = {"defenses": {"round": Round()}, "note": said.append, "batch_size": batch_size}
    found = run(Written(size), TensorDataset(x, y), **settings)
    assert said[0] == (
        f"the model takes no other number of images at once than {size}: batches are filled up to it"
    )
    honest = run(Written(0), TensorDataset(x, y), defenses={"round": Round()})
    pd.testing.assert_frame_equal(found.samples, honest.samples, rtol=1e-3, atol=1e-4)


def test_a_number_of_images_that_is_not_guessed_ends_the_run(data: TensorDataset) -> None:
    with pytest.raises(
        ModelError, match=r"cannot take images of shape \(1, 4, 4\): shape '\[77, -1\]' is invalid"
    ):
        run(Written(77), data, defenses={})


def test_no_images_at_all_give_no_logits(network: Network) -> None:
    network.eval()
    assert DefendedModel(network, [], lanes=8)(torch.rand(0, 1, 4, 4)).shape == (0, 3)


def test_batches_take_few_sizes() -> None:
    assert [roomy(count, 8) for count in (0, 1, 8, 9, 20, 25, 33, 50, 70, 100)] == [
        *(8, 8, 8, 16, 24, 32, 48, 64, 96, 128)
    ]
    assert {roomy(count, 8) for count in range(1, 129)} == {8, 16, 24, 32, 48, 64, 96, 128}


@pytest.mark.parametrize("count", [0, 1, 5, 6, 13])
def test_pieces_of_a_batch_are_seen_one_after_another(network: Network, count: int) -> None:
    watched = Watched(network.eval())
    defended = DefendedModel(watched, [Placement(Round(step=0.1))], bpda=True, at_once=5)
    x, y = torch.rand(count, 1, 4, 4), torch.arange(count) % 3
    found = loss_and_gradient(defended, x, lambda z, piece: margin(z, y[piece]))
    assert max(watched.sizes) <= 5
    whole = DefendedModel(network, [Placement(Round(step=0.1))], bpda=True)
    meant = loss_and_gradient(whole, x, lambda z, piece: margin(z, y[piece]))
    for one, other in zip(found, meant, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(defended(x), whole(x))
