"""Small networks of binary weights and activations, trained on MNIST in seconds with fixed seeds."""

import os
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.data.batches import read_batch
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from benchmarks.adaptive.binarised import Activation, BinaryLinear, bare, estimated

ROOT: Final = "ADVBENCH_MNIST"
"""The environment variable that says where MNIST is."""

_TRAINED_ON: Final = 12_000
_EPOCHS: Final = 3
_BATCH: Final = 100


def by_detach(x: Tensor) -> Tensor:
    """Signs whose estimator is the identity, written with `detach`."""
    return x + (bare(x) - x).detach()


class BinaryConv(nn.Conv2d):
    """A 5x5 convolution by the signs of its weights.

    Args:
        before: channels.
        after: channels.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 5, padding=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(n, c, h, w)` to `(n, out, h, w)`."""
        return F.conv2d(x, estimated(self.weight), padding=2)


class Signs(nn.Module):
    """What binarises, as a module that can be exchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.activation: Activation = estimated

    def forward(self, x: Tensor) -> Tensor:
        """-1 and 1."""
        return self.activation(x)


def fully_connected(*, binary_input: bool) -> nn.Sequential:
    """Three layers, fully connected; the pixels are binarised or not."""
    first = [nn.Flatten(), *([Signs()] if binary_input else [])]
    hidden = [BinaryLinear(784, 256, bias=False), nn.BatchNorm1d(256), Signs()]
    hidden += [BinaryLinear(256, 256, bias=False), nn.BatchNorm1d(256), Signs()]
    return nn.Sequential(*first, *hidden, BinaryLinear(256, 10, bias=False), nn.BatchNorm1d(10))


def with_convolutions() -> nn.Sequential:
    """Two convolutions and two layers; pooled before the signs."""
    hidden = [BinaryConv(1, 16), nn.MaxPool2d(2), nn.BatchNorm2d(16), Signs()]
    hidden += [BinaryConv(16, 32), nn.MaxPool2d(2), nn.BatchNorm2d(32), Signs()]
    last = [nn.Flatten(), BinaryLinear(32 * 49, 128, bias=False), nn.BatchNorm1d(128), Signs()]
    return nn.Sequential(*hidden, *last, nn.Linear(128, 10))


class FromPixels(nn.Module):
    """A network that takes pixels in [-1, 1], on pixels in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 1, 28, 28)` to logits `(n, 10)`."""
        logits: Tensor = self.network(2 * x - 1)
        return logits


NETWORKS: Final[dict[str, Callable[[], nn.Module]]] = {
    "connected": partial(fully_connected, binary_input=False),
    "connected_binary_input": partial(fully_connected, binary_input=True),
    "convolutional": with_convolutions,
}


@cache
def _trained(name: str) -> nn.Module:
    images = load_dataset("mnist", Place(root=Path(os.environ[ROOT]), split="train"))
    batch = read_batch(images, range(_TRAINED_ON))
    x, y = batch.x, batch.y
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        model = FromPixels(NETWORKS[name]()).train()
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        steps = _EPOCHS * _TRAINED_ON // _BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
        for _ in range(_EPOCHS):
            for rows in torch.split(torch.randperm(_TRAINED_ON), _BATCH):
                loss = F.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
                _clip(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _clip(model: nn.Module) -> None:
    """Keep weights where their signs can still change (Courbariaux et al. 2016)."""
    for module in model.modules():
        if isinstance(module, BinaryLinear | BinaryConv):
            module.weight.clamp_(-1.0, 1.0)


def _with(name: str, activation: Activation = estimated) -> nn.Module:
    model = deepcopy(_trained(name))
    for module in model.modules():
        if isinstance(module, Signs):
            module.activation = activation
    return model


def __getattr__(name: str) -> Any:
    """A factory for each network: `connected`, and `connected__bare` or `connected__by_detach`."""
    network, _, activation = name.partition("__")
    activations = {"": estimated, "bare": bare, "by_detach": by_detach}
    if network in NETWORKS and activation in activations:
        return partial(_with, network, activations[activation])
    raise AttributeError(name)
