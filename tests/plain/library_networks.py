"""Small networks of torchvision's and timm's own code; each takes grey images and gives logits `(n, 10)`."""

import importlib
from functools import partial
from typing import Any

import pytest
import torchvision
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet

from tests.plain.own_networks import CLASSES, Build


class Grey(nn.Module):
    """A network for three channels that is shown one, and images of another size if it needs them."""

    def __init__(self, network: nn.Module, side: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        if self.side is not None:
            x = nn.functional.interpolate(x, size=self.side, mode="bicubic", antialias=True)
        logits: Tensor = self.network(x.expand(-1, 3, -1, -1))
        return logits


def convnext() -> nn.Module:
    """Depthwise convolutions of 7x7, and LayerNorm over channels."""
    blocks = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    return Grey(ConvNeXt(blocks, 0.1, layer_scale=0.1, num_classes=CLASSES))


def densenet() -> nn.Module:
    """BatchNorm before every convolution, activations that are computed twice to save memory."""
    network = DenseNet(8, (2, 2), 16, num_classes=CLASSES, memory_efficient=True)
    return Grey(network, 32)


def shufflenet() -> nn.Module:
    """Channels that change places."""
    return Grey(torchvision.models.shufflenet_v2_x0_5(num_classes=CLASSES), 32)


def _of_timm(name: str, side: int | None = None, **parameters: Any) -> nn.Module:
    pytest.importorskip("timm", reason="timm is not installed: pip install timm")
    timm = importlib.import_module("timm")
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=CLASSES, **parameters)
    return Grey(network, side)


def of_timm(name: str, side: int | None = None, **parameters: Any) -> Build:
    """A network of timm, which skips a test where timm is not installed."""
    return partial(_of_timm, name, side, **parameters)
