"""How a plan is carried out fast: the copies, and a batch that suits the model."""

from typing import Any

import pytest
from torch import Tensor, nn

from advbench import Copies
from advbench.attacks import PGD
from advbench.evaluation import faster_plan
from advbench.evaluation.faster_plan import at_speed
from advbench.evaluation.plan import Plan
from advbench.speed.batch_size import AUTO
from tests.evaluation.models import Sum, plan_of


def fast(plan: Plan, batch_size: Any, **copies: Any) -> tuple[Plan, list[str]]:
    said: list[str] = []
    return at_speed(plan, [0, 1], batch_size, Copies(**copies), said.append), said


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_size_that_is_given_is_taken(batch_size: int) -> None:
    plan, said = fast(plan_of(), batch_size)
    assert plan.size.images == batch_size
    assert plan.size.lanes == 8
    assert said == []


def test_a_size_that_is_not_given_is_probed_with_what_attacks_differentiate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, ...]] = []

    def probed(model: nn.Module, x: Tensor, count: int) -> int:
        asked.append((*x.shape, count))
        return 24

    monkeypatch.setattr(faster_plan, "probed_size", probed)
    plan, _ = fast(plan_of(), AUTO)
    assert asked == [(1, 1, 2, 2, 2)]
    assert plan.size.images == 24


class Exactly(Sum):
    """A program for one number of images."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != self.count:
            raise ValueError(f"expected {self.count} images, got {len(x)}")
        return super().forward(x)


def test_batches_are_filled_up_for_a_model_of_one_number_of_images() -> None:
    plan, said = fast(plan_of(model=Exactly(4)), AUTO)
    assert (plan.size.images, plan.size.lanes) == (4, 4)
    assert any("the model takes no other number of images at once than 4" in each for each in said)


@pytest.mark.parametrize(
    ("attacks", "seconds", "compiles"),
    [({"pgd": PGD(steps=3)}, 1.0, False), ({"pgd": PGD(steps=3)}, 1e4, True), ({"own": len}, 1e-9, True)],
)
def test_a_model_is_compiled_where_the_attacks_take_longer_or_nobody_knows_how_long(
    attacks: dict[str, Any], seconds: float, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[nn.Module] = []

    def compiled(model: nn.Module, x: Tensor, _note: object) -> nn.Module:
        assert len(x) == 16
        made.append(model)
        return nn.Identity()

    monkeypatch.setattr(faster_plan, "compiled", compiled)
    monkeypatch.setattr(faster_plan, "seconds_a_gradient", lambda *_: seconds)
    plan, said = fast(plan_of(attacks=attacks), 16, compiled=True)
    assert bool(plan.compiled) == compiles
    assert (plan.size.lanes == 16) == compiles, "a compiled model sees batches of one size"
    assert any(each.startswith("not compiled: that takes a minute") for each in said) != compiles
