"""Models that take steps: how soft they are to be is found out, and the model is told from one without."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import StandIns, Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.errors import ModelError
from advbench.evaluation.observer import Hooks
from advbench.evaluation.soft_steps import SOFT_NAMES, TAKES_STEPS
from advbench.results.records import LADDER, Row, Rung


class Signs(nn.Module):
    """A network of digits-like images whose hidden layer is signs, without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.head = nn.Linear(36, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.sign(self.hidden(x.flatten(1) - 0.5)))
        return logits


def evaluated(model: nn.Module, **changes: Any) -> Any:
    x = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        data = TensorDataset(x, model(x).argmax(1))
    settings: dict[str, Any] = {
        "threat": Threat("linf", 0.1),
        "attacks": {"pgd": PGD(steps=20)},
        "gradient_free": {"square": Square(queries=50)},
        "rungs": LADDER,
        "stand_ins": StandIns(surrogate="soft-steps"),
        "batch_size": 16,
    }
    return evaluate(model.eval(), data, **{**settings, **changes})


def standing(row: Row, rung: Rung) -> int:
    return row.rates[rung].count


def test_soft_steps_fell_what_the_models_own_gradient_and_a_search_without_one_leave() -> None:
    evaluation = evaluated(Signs())
    (row,) = evaluation.rows
    assert standing(row, "clean") == 40
    assert standing(row, "shattered") >= 25  # a start at random fells the others
    assert standing(row, "bpda") < standing(row, "gradient_free")
    assert standing(row, "bpda") <= 10
    assert row.verdict.startswith("masked")
    assert row.substitute in SOFT_NAMES
    assert tuple(candidate.substitute for candidate in evaluation.candidates) == SOFT_NAMES
    (first,) = [candidate for candidate in evaluation.candidates if candidate.rank == 1]
    assert first.substitute == row.substitute
    assert first.standing == min(candidate.standing for candidate in evaluation.candidates)


def test_behind_a_defense_gradients_go_through_the_steps_and_its_substitute() -> None:
    def halved(x: Tensor) -> Tensor:
        return (x * 8).round() / 8

    _, row = evaluated(Signs(), defenses={"halved": halved}).rows
    assert standing(row, "bpda") <= 10 < standing(row, "shattered")


def test_a_model_without_steps_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    with pytest.raises(ModelError, match="takes no step that could be softened"):
        evaluated(model)


@pytest.mark.parametrize(
    ("model", "changes", "noted"),
    [
        (Signs(), {}, True),
        (Signs(), {"rungs": ("shattered",), "gradient_free": {}}, False),
        (Signs(), {"stand_ins": StandIns(surrogate="soft-steps")}, False),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.ReLU()), {}, False),
    ],
)
def test_a_run_says_that_a_model_takes_steps(model: nn.Module, changes: dict[str, Any], noted: bool) -> None:
    said: list[str] = []
    evaluated(model, **{"stand_ins": StandIns(), **changes}, observer=Hooks(note=said.append))
    assert (TAKES_STEPS in said) == noted
