"""A surrogate in an evaluation, against a truth that is worked out by hand, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import StandIns, Surrogate, Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.defenses import Round
from advbench.errors import ModelError
from advbench.evaluation.surrogates import shares_of
from tests.defended.test_surrogate import Label
from tests.evaluation.models import Sum, levels, plan_of

LEVELS = levels(0.05, 0.1, 0.15, 0.2, 0.35, 0.4, 0.42, 0.45, 0.55, 0.58, 0.6, 0.65, 0.8, 0.85, 0.9, 0.95)
SETTINGS: dict[str, Any] = {
    "threat": Threat("linf", 0.2),
    "attacks": {"pgd": PGD(steps=10, random_start=False)},
    "rungs": ("static", "bpda", "gradient_free", "worst"),
    "gradient_free": {"square": Square(queries=20)},
}


class Tree(nn.Module):
    """The same decision in NumPy, which no autograd enters."""

    def forward(self, x: Tensor) -> Tensor:
        right = x.numpy().reshape(len(x), -1).sum(1) > 2.0
        return torch.from_numpy(np.stack([~right, right], 1).astype(np.float32))


@pytest.mark.parametrize("model", [Label(), Tree()], ids=["labels under no_grad", "NumPy"])
def test_a_surrogate_finds_exactly_what_can_be_felled(model: nn.Module) -> None:
    """A level between 0.3 and 0.7 can be moved across 0.5 by 0.2, and no other; eight of sixteen can."""
    evaluation = evaluate(model, LEVELS, stand_ins=StandIns(surrogate=Sum()), **SETTINGS)
    (row,) = evaluation.rows
    counts = {rung: rate.count for rung, rate in row.rates.items()}
    assert counts["clean"] == counts["shattered"] == 16
    assert counts["bpda"] == counts["static"] == counts["worst"] == 8
    assert row.substitute == "Sum"
    assert row.verdict.startswith("masked: examples made on Sum fell 8 of the 16")
    assert any("the surrogate Sum" in note and "move in steps" in note for note in row.notes)
    assert any("static examples are made on Sum" in note for note in row.notes)
    assert any("gradient was zero" in warning for warning in row.warnings)
    (candidate,) = evaluation.candidates
    assert (candidate.defense, candidate.substitute, candidate.standing) == ("none", "Sum", 8)


def test_behind_a_defense_the_gradient_goes_through_both_and_the_models_own_logits_are_kept() -> None:
    ran: list[int] = []

    class Soft(Sum):
        def forward(self, x: Tensor) -> Tensor:
            ran.append(len(x))
            return super().forward(x)

    evaluation = evaluate(
        Sum(), LEVELS, stand_ins=StandIns(surrogate=Soft()), defenses={"round": Round()}, **SETTINGS
    )
    none, behind = evaluation.rows
    assert none.rates["bpda"].count == none.rates["shattered"].count == 8
    assert not any("move in steps" in note for note in none.notes)
    assert behind.rates["bpda"].count < behind.rates["shattered"].count
    assert ran


def test_without_a_surrogate_nothing_changes() -> None:
    plain = evaluate(Sum(), LEVELS, **SETTINGS)
    (row,) = plain.rows
    assert set(row.rates) == {"clean", "shattered", "gradient_free", "worst"}
    assert "surrogate" not in plain.heading.as_record()
    assert "source" not in plain.heading.as_record()


def test_a_distilled_surrogate_fells_what_can_be_felled() -> None:
    """A sum of 16 pixels can be moved by 16 eps, as long as no pixel leaves the box."""
    x = 0.2 + 0.6 * torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    sums = x.flatten(1).sum(1)
    model = Label(edge=8.0)
    settings = {**SETTINGS, "threat": Threat("linf", 0.05), "rungs": ("bpda",), "gradient_free": {}}
    data = TensorDataset(x, (sums > 8.0).long())
    (row,) = evaluate(model, data, stand_ins=StandIns(surrogate="distill"), **settings).rows
    standing = int(((sums - 8.0).abs() > 0.8).sum())
    assert standing <= row.rates["bpda"].count <= 36 < row.rates["shattered"].count
    assert row.substitute == "distill"


def test_a_surrogate_that_says_other_things_is_no_evidence() -> None:
    class Other(Sum):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).flip(1)

    (row,) = evaluate(Label(), LEVELS, stand_ins=StandIns(surrogate=Other()), **SETTINGS).rows
    assert any("predicts what the model predicts on" in warning for warning in row.warnings)


def test_images_are_held_out_and_a_single_one_is_both() -> None:
    shares = shares_of(plan_of(images=range(4)))
    assert sorted([*shares.fitting, *shares.held_out]) == [0, 1, 2, 3]
    assert len(shares.held_out) == 1
    single = shares_of(plan_of(images=[2]))
    assert single.fitting == single.held_out == [2]


def _nan(x: Tensor) -> Tensor:
    return x.flatten(1)[:, :2] * torch.nan


REFUSED: list[tuple[Any, str]] = [
    (
        lambda x: torch.cat([Sum()(x), Sum()(x)], 1),
        r"the surrogate must return logits of the model's shape \(8, 2\)",
    ),
    (lambda x: x.flatten(1).sum(1), r"logits of the model's shape \(8, 2\), got \(8,\)"),
    (lambda _: None, "got NoneType"),
    (nn.Linear(9, 2), r"the surrogate cannot take images of shape \(1, 2, 2\)"),
    (_nan, "the surrogate returns NaN or infinite logits for 8 of 8 clean images"),
    (Label(), "the surrogate has no gradient: it is cut off"),
    (lambda x: Sum()(x) * 0.0, "the surrogate has no gradient: it is zero"),
]


@pytest.mark.parametrize(("surrogate", "said"), REFUSED)
def test_what_cannot_stand_in_is_refused(surrogate: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        evaluate(Sum(), LEVELS, stand_ins=StandIns(surrogate=surrogate), **SETTINGS)


def test_the_model_is_no_surrogate_of_itself() -> None:
    model = Sum()
    with pytest.raises(ModelError, match="the surrogate is the model itself"):
        evaluate(model, LEVELS, stand_ins=StandIns(surrogate=Surrogate("soft", model)), **SETTINGS)


def test_a_source_of_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="the source must return logits of the model's shape"):
        evaluate(Sum(), LEVELS, stand_ins=StandIns(source=nn.Flatten()), **SETTINGS)
