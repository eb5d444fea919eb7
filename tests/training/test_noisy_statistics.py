"""Noise in running statistics is an offset of the layers, and leaves nothing behind."""

import copy

import pytest
import torch
from torch import nn

from advbench.errors import ModelError
from advbench.training.batch_norm import Offsets
from advbench.training.noisy_statistics import noisy_statistics
from tests.small import Network


def test_noisy_statistics_are_offsets_of_the_layers() -> None:
    """Against `(1 + d_var) * (z - d_mean * mean / sqrt(var + eps))`, signs recovered from the buffers."""
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(5).double()
    layer(torch.randn(20, 5, 3, 3, dtype=torch.float64) * 3 + 1)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    mean, var, x = layer.running_mean.clone(), layer.running_var.clone(), torch.randn(4, 5, 3, 3).double()
    with noisy_statistics(layer, 0.2, torch.Generator().manual_seed(3)):
        found = layer(x)
        d_mean = (layer.running_mean / mean - 1).detach()
        d_var = ((var + layer.eps) / (layer.running_var + layer.eps)).sqrt() - 1
    offsets = Offsets(d_mean, d_var)
    torch.testing.assert_close(offsets.mean.abs(), torch.full_like(mean, 0.2))
    torch.testing.assert_close(offsets.var.abs(), torch.full_like(mean, 0.2))
    shape = (5, 1, 1)
    z = (x - mean.view(shape)) / (var + layer.eps).sqrt().view(shape)
    constant = mean / (var + layer.eps).sqrt()
    expected = (1 + d_var).view(shape) * (z - (d_mean * constant).view(shape))
    torch.testing.assert_close(found, expected)


def test_noise_leaves_the_model_as_it_was_and_has_both_signs() -> None:
    torch.manual_seed(0)
    network = Network()
    network(torch.rand(8, 1, 4, 4))
    before = copy.deepcopy(network.state_dict())
    signs = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        with noisy_statistics(network, 0.1, generator):
            assert not network.training
            moved = network.state_dict()["features.1.running_mean"] / before["features.1.running_mean"]
            signs.append((moved - 1).sign())
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert 0.3 < float((torch.stack(signs) > 0).float().mean()) < 0.7


def test_a_model_without_statistics_is_a_clear_error() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False))
    noise = noisy_statistics(model, 0.1, torch.Generator())
    with pytest.raises(ModelError, match="no BatchNorm with running statistics"), noise:
        pass
