"""A small network and data for the tests of the harness."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Copies, Evaluation, Hooks, Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.defenses import Round


class Network(nn.Module):
    """A small network with everything that an evaluation could disturb: BatchNorm, dropout, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(64, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("calls").add_(1)
        logits: Tensor = self.head(self.dropout(self.features(x).flatten(1)))
        return logits


def ready(model: nn.Module) -> nn.Module:
    """A model as an evaluation has it: in evaluation mode, parameters frozen."""
    return model.eval().requires_grad_(False)


class Cutting(nn.Module):
    """Cuts the precision of what it is given, or of its features, by a round trip through fewer bits."""

    def __init__(self, where: str, kind: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.where, self.kind = where, kind
        self.conv, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(128, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(self.cut(x, "input")).relu()
        logits: Tensor = self.head(self.cut(z, "features").flatten(1))
        return logits

    def cut(self, z: Tensor, where: str) -> Tensor:
        """`z`, with fewer bits if this is the place."""
        return z.to(self.kind).float() if where == self.where else z


def images(count: int = 8) -> Tensor:
    """Images that the small network takes, `(count, 1, 4, 4)`."""
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def run(network: nn.Module, data: TensorDataset, **changes: Any) -> Evaluation:
    """Evaluate a small network; what copies are made of it and who observes is said in the same words."""
    hooks = {each.name: changes.pop(each.name) for each in fields(Hooks) if each.name in changes}
    copies = {each.name: changes.pop(each.name) for each in fields(Copies) if each.name in changes}
    settings: dict[str, Any] = {
        "threat": Threat("linf", 0.05),
        "batch_size": 16,
        "attacks": {"pgd": PGD(steps=5)},
        "defenses": {"round": Round(), "inside": Placement(Round(), "features")},
        "copies": Copies(**copies),
        "observer": Hooks(**hooks),
    }
    return evaluate(network, data, **{**settings, **changes})


def double_network() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network in float64 with two BatchNorm layers, and a batch of 12 images with labels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.BatchNorm1d(5),
        nn.Tanh(),
        nn.Linear(5, 3),
    ).double()
    x = torch.randn(12, 1, 4, 4, dtype=torch.float64)
    return model, x, torch.arange(12) % 3
