"""What is said once of a model that was said to be random."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Draws, RandomModel, Threat
from advbench.attacks import PGD
from advbench.evaluation.plan import Plan
from advbench.evaluation.random_networks import ALONE, STILL, note_what_is_random


class Dropping(nn.Module):
    """Draws from torch's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(F.dropout(x.flatten(1), training=True))
        return logits


class Streaming(Dropping):
    """Draws from the images' streams."""

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        assert draws is not None
        noise = draws.normal(tuple(x.shape[1:])).to(x)
        logits: Tensor = self.linear((x + noise).flatten(1))
        return logits


def notes_of(model: nn.Module) -> list[str]:
    x = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    plan = Plan(
        model=model.eval(),
        dataset=TensorDataset(x, torch.zeros(6, dtype=torch.int64)),
        chains={"none": ()},
        attacks={"pgd": PGD()},
        threat=Threat("linf", 0.1),
        rungs=("shattered",),
        seed=0,
        images=range(6),
    )
    notes: list[str] = []
    note_what_is_random(plan, notes.append)
    return notes


@pytest.mark.parametrize(
    ("model", "notes"),
    [
        (Dropping(), []),
        (RandomModel(Dropping()), [ALONE]),
        (RandomModel(Streaming()), []),
        (RandomModel(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(4, 3))), [STILL]),
    ],
    ids=["not said", "generators of the process", "streams", "dropout that is off"],
)
def test_a_random_model_is_told_what_it_costs_or_that_it_draws_nothing(
    model: nn.Module, notes: list[str]
) -> None:
    assert notes_of(model) == notes
