"""Normalisation as part of the model: by channel, in pixel units, and nowhere in its state."""

import pytest
import torch
from torch import nn

from advbench.defended.contract import checked_logits
from advbench.defended.normalized import Normalized
from advbench.errors import ModelError
from advbench.models.registry import IMAGENET


@pytest.mark.parametrize(
    ("mean", "std", "channels"),
    [((0.5, 0.1, 0.2), (0.2, 1.0, 2.0), 3), ((0.5,), (0.25,), 3), ((0.5,), (0.25,), 1)],
)
def test_normalisation_is_part_of_the_model(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int
) -> None:
    x = torch.rand(2, channels, 4, 4)
    expected = [(x[:, i] - mean[i % len(mean)]) / std[i % len(std)] for i in range(channels)]
    torch.testing.assert_close(Normalized(nn.Identity(), mean, std)(x), torch.stack(expected, 1))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5,), (0.0,)),
        ((0.5,), (-1.0,)),
        ((0.5, 0.5), (1.0,)),
        ((), ()),
        ((0.5,), (torch.nan,)),
        ((0.5,), (torch.inf,)),
    ],
)
def test_constants_that_cannot_normalise_are_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="std"):
        Normalized(nn.Identity(), mean, std)


def test_images_with_other_channels_than_the_constants_are_refused() -> None:
    model = Normalized(nn.Flatten(), IMAGENET.mean, IMAGENET.std)
    with pytest.raises(ModelError, match="3 channels, the images have 1"):
        checked_logits(model, torch.rand(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64))


def test_constants_follow_the_model_and_stay_out_of_its_state() -> None:
    network = nn.Linear(3, 2)
    model = Normalized(network, (0.1, 0.2), (0.3, 0.4)).double()
    assert set(model.state_dict()) == {"network.weight", "network.bias"}
    assert model.mean.dtype == model.std.dtype == torch.float64
    assert model(torch.zeros(0, 2, 5, 3, dtype=torch.float64)).shape == (0, 2, 5, 2)


def test_a_radius_in_pixels_is_one_in_units_of_the_networks_own_inputs() -> None:
    model = Normalized(nn.Identity(), (0.5, 0.4), (0.25, 0.5))
    x = torch.full((1, 2, 1, 1), 0.5, requires_grad=True)
    (slope,) = torch.autograd.grad(model(x).sum(), x)
    assert slope.flatten().tolist() == [4.0, 2.0]
