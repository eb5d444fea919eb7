"""Thermometer encoding, decoded and as channels, and the stem that reads it."""

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from advbench.defenses import Thermometer, ThermometerStem
from advbench.errors import ModelError


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_the_channels_are_those_of_the_paper() -> None:
    """The example of Athalye et al. 2018, section 5.1.1: tau(0.66) = 1111110000 with ten levels."""
    encoded = Thermometer(levels=10, decode=False)(torch.tensor([[[[0.66]]]]))
    assert encoded.flatten().tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_channels_equal_those_of_the_adversarial_robustness_toolbox() -> None:
    """`ThermometerEncoding((0.0, 1.0), num_space=4, channels_first=True)` of ART 1.20.1, k = 0..3."""
    x = torch.tensor([[[[0.0, 0.1, 0.25], [0.3, 0.6, 1.0]], [[0.5, 0.76, 0.9], [0.2, 0.49, 0.51]]]])
    theirs = [
        [[[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [1, 1, 1]], [[0, 0, 0], [0, 1, 1]], [[0, 0, 0], [0, 0, 1]]],
        [[[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [0, 1, 1]], [[0, 1, 1], [0, 0, 1]], [[0, 1, 1], [0, 0, 0]]],
    ]
    found = Thermometer(levels=4, decode=False)(x).view(2, 4, 2, 3)
    assert found[:, :-1].tolist() == [channel[1:] for channel in theirs]  # ours are k = 1..4


@given(st.integers(2, 64), st.integers(0, 1000))
def test_decoding_moves_by_at_most_half_a_level_and_twice_is_once(levels: int, seed: int) -> None:
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    g = Thermometer(levels=levels)
    assert (g(x) - x).abs().max() <= 0.5 / levels + 1e-6
    assert torch.equal(g(g(x)), g(x))


def test_decoding_gives_what_the_channels_stand_for() -> None:
    x = images(2, 3, 6, 6)
    channels = Thermometer(levels=7, decode=False)(x).view(2, 3, 7, 6, 6)
    torch.testing.assert_close(Thermometer(levels=7)(x), (channels.sum(2) + 0.5) / 7)


def test_soft_channels_become_the_channels_as_the_temperature_falls() -> None:
    g, x = Thermometer(levels=8, decode=False), images(2, 1, 8, 8)
    errors = [float((g.soft(x, temperature) - g(x)).abs().mean()) for temperature in (1.0, 0.1, 0.01)]
    assert errors[0] < 0.15
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1] / 4


def test_soft_decoding_stays_within_half_a_level() -> None:
    g, x = Thermometer(levels=8), images(2, 1, 8, 8)
    assert (g.soft(x) - g(x)).abs().max() <= 0.5 / 8 + 1e-6


def test_the_ramp_is_that_of_the_paper() -> None:
    """Athalye et al. 2018, section 5.1.1: `min(max(x - k / l, 0), 1)`."""
    found = Thermometer(levels=4, decode=False).ramp(torch.tensor([[[[0.6]]]])).flatten()
    torch.testing.assert_close(found, torch.tensor([0.35, 0.1, 0.0, 0.0]))


@pytest.mark.parametrize("decode", [True, False])
def test_only_the_decoded_defense_lists_the_identity(decode: bool) -> None:
    assert ("identity" in Thermometer(decode=decode).substitutes) == decode


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_a_stem_begins_as_the_convolution_on_decoded_images(
    padding_mode: Literal["zeros", "reflect"],
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, padding_mode=padding_mode)
    x = images(2, 3, 9, 9)
    stem = ThermometerStem(conv, levels=16)
    found = stem(Thermometer(levels=16, decode=False)(x))
    torch.testing.assert_close(found, conv(Thermometer(levels=16)(x)))
    torch.testing.assert_close(stem(x), conv(x))
    assert all(each.requires_grad for each in stem.parameters())


def test_a_stem_of_a_grouped_convolution_is_refused() -> None:
    with pytest.raises(ModelError, match="needs a convolution of one group, got 3"):
        ThermometerStem(nn.Conv2d(3, 6, 3, groups=3))
