"""What tests of an evaluation's parts share: a linear model whose every answer can be worked out by hand."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Threat
from advbench.attacks import PGD
from advbench.evaluation.plan import Plan, defense_chains


class Sum(nn.Module):
    """Class 1 where the sum of the pixels lies above an edge, with a margin of twice the distance."""

    def __init__(self, edge: float = 2.0) -> None:
        super().__init__()
        self.edge = nn.Parameter(torch.tensor(edge), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1).sum(1, keepdim=True) - self.edge
        return torch.cat([-z, z], dim=1)


def levels(*values: float) -> TensorDataset:
    """An image of 2x2 pixels a level, all of them of it, with the label that `Sum` gives."""
    x = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return TensorDataset(x, (x.flatten(1).sum(1) > 2.0).long())


def plan_of(defenses: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """A plan for `Sum`, with PGD in L-inf."""
    dataset = levels(0.1, 0.4, 0.6, 0.9)
    settings: dict[str, Any] = {
        "model": Sum(),
        "dataset": dataset,
        "chains": defense_chains(defenses or {}),
        "attacks": {"pgd": PGD(steps=3)},
        "threat": Threat("linf", 0.2),
        "rungs": ("shattered", "bpda"),
        "seed": 0,
        "images": range(len(dataset)),
    }
    return Plan(**{**settings, **changes})
