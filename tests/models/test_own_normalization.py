"""A network that normalises first is told from one that carries constants along, and stays as it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advbench.models.own_normalization import normalizes_itself


class Own(nn.Module):
    """A network with constants under some names, which are used first or later."""

    def __init__(self, names: tuple[str, str], *, first: bool = True, scale: float = 1.0) -> None:
        super().__init__()
        for name, value in zip(names, (0.5, 0.25), strict=True):
            self.register_buffer(name, torch.full((1, 3, 1, 1), value * scale))
        self.names, self.first = names, first

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (getattr(self, name) for name in self.names)
        normalized: Tensor = (x - mean) / std
        return normalized


class Plain(nn.Module):
    """Constants that are no tensors: used, or only carried along for whoever prepares the images."""

    def __init__(self, mean: object, std: object, *, used: bool = True) -> None:
        super().__init__()
        self.image_mean, self.image_std, self.used = mean, std, used

    def forward(self, x: Tensor) -> Tensor:
        if not self.used:
            return x.flatten(1)
        mean, std = (
            torch.as_tensor(each).float().reshape(-1, 1, 1) for each in (self.image_mean, self.image_std)
        )
        return ((x - mean) / std).flatten(1)


class Later(nn.Module):
    """The constants are used on features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 3, 1), Own(("mean", "std"))

    def forward(self, x: Tensor) -> Tensor:
        whole: Tensor = self.norm(self.stem(x)).flatten(1)
        return whole


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Sequential(Own(("mean", "std")), nn.Flatten()), True),
        (nn.Sequential(Own(("new_mean", "new_std")), nn.Flatten()), True),
        (nn.Sequential(Own(("mu", "sigma")), nn.Flatten()), True),
        (Own(("mu", "std")), True),
        (Plain((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)), True),
        (Plain([0.5], [0.2]), True),
        (Plain(0.5, 0.2), True),
        (Plain(np.full(3, 0.5), np.full(3, 0.2)), True),
        (Plain((0.5, 0.4, 0.3), (0.2, 0.2, 0.2), used=False), False),
        (Plain(torch.full((3,), 0.5), torch.full((3,), 0.2), used=False), False),
        (Later(), False),
        (nn.Sequential(Own(("mean", "std"), scale=255.0), nn.Flatten()), False),
        (nn.Sequential(Own(("left", "right")), nn.Flatten()), False),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()), False),
    ],
)
def test_a_network_that_normalises_first_is_known(network: nn.Module, expected: bool) -> None:
    before = str([vars(module) for module in network.modules()])
    assert normalizes_itself(network, torch.rand(2, 3, 4, 4)) is expected
    assert str([vars(module) for module in network.modules()]) == before
    assert not any(module._forward_pre_hooks for module in network.modules())
