"""Copies behind the user's own defenses: they stay where they agree, and go where they differ."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import Placement
from advbench.defenses import Round
from advbench.evaluation.behind_defenses import fit_for_defenses
from advbench.evaluation.plan import Plan
from tests.evaluation.models import Sum, plan_of

X = torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def fitted(defenses: dict[str, Any], copy: nn.Module | None) -> tuple[Plan, Plan, list[str]]:
    """A plan with a copy, what becomes of it, and what is said."""
    said: list[str] = []
    plan = plan_of(defenses, working=copy, rough=copy)
    return plan, fit_for_defenses(plan, X, said.append), said


def halved(x: Tensor) -> Tensor:
    return 0.5 * x


def test_where_all_defenses_are_ours_nothing_is_run() -> None:
    class Never(Sum):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError(x)

    plan, found, said = fitted({"round": Round(), "chain": [Round(), Placement(Round(), "logits")]}, Never())
    assert found is plan
    assert said == []


def test_a_copy_that_agrees_behind_it_stays_and_so_does_a_plan_without_one() -> None:
    for copy in (Sum(), None):
        plan, found, said = fitted({"halved": halved}, copy)
        assert found is plan
        assert said == []


def fails(_x: Tensor) -> Tensor:
    raise KeyError("no such layer\nand more")


@pytest.mark.parametrize(
    ("copy", "why"),
    [
        (Sum(edge=1.5), "gives other logits"),
        (nn.Sequential(Sum(), nn.Linear(2, 2)), "gives other logits"),
    ],
)
def test_a_copy_that_differs_behind_a_defense_of_ones_own_goes_and_that_is_said(
    copy: nn.Module, why: str
) -> None:
    _, found, said = fitted({"round": Round(), "halved": halved}, copy)
    assert (found.working, found.rough) == (None, None)
    (sentence,) = said
    assert sentence.startswith("attacks may take longer, and find the same: behind halved, a copy of the ")
    assert f"model {why}" in sentence
    assert sentence.endswith("and is not used")


def test_a_copy_that_fails_behind_it_is_told_in_a_line() -> None:
    class Failing(Sum):
        def forward(self, x: Tensor) -> Tensor:
            return fails(x)

    _, found, said = fitted({"halved": halved}, Failing())
    assert found.working is None
    assert "a copy of the model fails (KeyError: " in said[0]
    assert "\n" not in said[0]


def draws_of_its_own(x: Tensor) -> Tensor:
    return x + torch.rand_like(x)


@pytest.mark.parametrize("defense", [fails, draws_of_its_own, lambda x: x[:, :, 1:]])
def test_what_is_wrong_with_the_defense_itself_is_left_to_the_run(
    defense: Callable[[Tensor], Tensor],
) -> None:
    torch.manual_seed(0)
    plan, found, said = fitted({"own": defense}, Sum())
    assert (found.working, said) == (plan.working, [])


def test_memory_that_ran_out_says_nothing_of_a_copy() -> None:
    class Large(Sum):
        def forward(self, x: Tensor) -> Tensor:
            raise MemoryError

    plan, found, said = fitted({"halved": halved}, Large())
    assert found is plan
    assert said == []
