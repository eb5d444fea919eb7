"""The residual networks for CIFAR: their depth is counted, and a shortcut is told from its formula."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advbench.errors import SpecError
from advbench.models.resnet_cifar import ResNetCIFAR, resnet20, resnet32, resnet44, resnet56


@pytest.mark.parametrize(("make", "depth"), [(resnet20, 20), (resnet32, 32), (resnet44, 44), (resnet56, 56)])
def test_a_network_has_the_layers_that_its_name_counts(make: Callable[[], ResNetCIFAR], depth: int) -> None:
    """He et al. 2016, section 4.2: 6n + 2 layers with weights, a third of the blocks at each width."""
    network = make()
    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    widths = [each.out_channels for each in layers if isinstance(each, nn.Conv2d)]
    third = (depth - 2) // 3
    assert widths == [16] * (1 + third) + [32] * third + [64] * third
    strides = [each.stride for each in layers if isinstance(each, nn.Conv2d)]
    assert strides.count((2, 2)) == 2


def without_branches(blocks: int) -> ResNetCIFAR:
    """A network whose blocks add nothing to their shortcuts, and whose stem hands images on."""
    network = ResNetCIFAR(depth=6 * blocks + 2, num_classes=64).double().eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.zero_()
            elif isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0
        for channel in range(3):
            network.conv1.weight[channel, channel, 1, 1] = 1.0
        network.linear.weight.copy_(torch.eye(64))
        network.linear.bias.zero_()
    return network


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_shortcut_takes_every_other_pixel_and_fills_channels_with_zeros_on_both_sides(blocks: int) -> None:
    """Option A twice: 16 channels become the middle of 32 and these of 64, of every fourth pixel."""
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        features = without_branches(blocks)(x)
    expected = torch.zeros(2, 64, dtype=torch.float64)
    expected[:, 24:27] = F.relu(x[:, :, ::4, ::4]).mean((2, 3))
    torch.testing.assert_close(features, expected)


def test_images_of_other_sizes_are_averaged_over_what_is_left() -> None:
    network = resnet20(num_classes=7).eval()
    assert [network(torch.zeros(n, 3, 16, 48)).shape for n in (0, 1)] == [(n, 7) for n in (0, 1)]


@pytest.mark.parametrize("depth", [21, 18, 2, -4])
def test_a_depth_that_no_number_of_blocks_has_is_refused(depth: int) -> None:
    with pytest.raises(SpecError, match=rf"depth must be 6n \+ 2 .*, got {depth}\."):
        ResNetCIFAR(depth=depth)
