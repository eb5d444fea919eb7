"""How good a substitute's gradients are: on models whose differences and attacks are known by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement, Threat
from advbench.evaluation.grade_gradients import (
    DIRECTIONS,
    STEPS,
    Graded,
    foretold_differences,
    grade_batch,
    true_differences,
)
from advbench.threat.threat import Norm
from tests.evaluation.models import Sum, levels

X, Y = levels(0.2, 0.45, 0.55, 0.8).tensors
DRAWS = Draws(0, torch.arange(4))


def graded(model: DefendedModel, eps: float = 0.1, known: dict[int, Tensor] | None = None) -> Graded:
    return grade_batch(model, (X, Y), Threat("linf", eps), DRAWS, {} if known is None else known)


def behind(*links: Placement, model: nn.Module | None = None) -> DefendedModel:
    return DefendedModel(Sum() if model is None else model, links, bpda=True)


def cosine(found: Graded) -> float:
    both, one, other = found.products
    return both / math.sqrt(one * other)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_on_a_linear_model_what_an_exact_gradient_foretells_comes_true(norm: Norm) -> None:
    """The margin of label 1 is -2 times the sum above the edge, of label 0 +2 times."""
    threat = Threat(norm, 0.1)
    grad = torch.where(Y == 1, -2.0, 2.0).view(-1, 1, 1, 1).expand_as(X)
    true = true_differences(behind(), (X, Y), threat, DRAWS)
    assert true.shape == (4, DIRECTIONS)
    torch.testing.assert_close(true, foretold_differences(grad, X, threat, DRAWS), atol=1e-5, rtol=1e-4)
    assert true.abs().amax(1).min() > 0.0
    assert true.abs().max() <= 2 * 0.1 * 4 + 1e-6, "two points of the ball of half the radius"


def flipped(x: Tensor) -> Tensor:
    return -x


@pytest.mark.parametrize(
    ("substitute", "expected", "standing"), [(torch.clone, 1.0, [0, 3]), (flipped, -1.0, [0, 1, 2, 3])]
)
def test_a_gradient_of_the_right_or_the_wrong_sign_is_told_by_its_cosine_and_by_what_stands(
    substitute: Any, expected: float, standing: list[int]
) -> None:
    found = graded(behind(Placement(torch.clone, substitute=substitute)))
    assert found.right == [0, 1, 2, 3]
    assert found.standing == standing
    assert cosine(found) == pytest.approx(expected, abs=1e-4)


def test_images_that_the_defended_model_gets_wrong_count_for_nothing() -> None:
    whole = graded(behind())
    found = grade_batch(behind(), (X, 1 - Y), Threat("linf", 0.1), DRAWS, {})
    assert found == Graded([], [], (0.0, 0.0, 0.0))
    half = grade_batch(behind(), (X, torch.tensor([0, 0, 0, 0])), Threat("linf", 0.1), DRAWS, {})
    assert half.right == [0, 1]
    assert half.standing == [0]
    assert half.products[1] < whole.products[1]


def test_differences_are_measured_once_an_image() -> None:
    known: dict[int, Tensor] = {}
    first = graded(behind(), known=known)
    assert set(known) == {0, 1, 2, 3}
    shown: list[int] = []

    class Counting(Sum):
        def forward(self, x: Tensor) -> Tensor:
            shown.append(len(x))
            return super().forward(x)

    assert graded(behind(model=Counting()), known=known) == first
    assert len(shown) == 1 + STEPS, "a gradient, and the points of the short attack"


def test_without_a_gradient_nothing_is_foretold_and_everything_stands() -> None:
    found = graded(behind(Placement(torch.clone, substitute=Tensor.detach)), eps=0.2)
    assert found.products[2] == 0.0
    assert found.products[1] > 0.0
    assert found.standing == [0, 1, 2, 3]


def test_a_gradient_that_is_infinite_or_no_number_gives_finite_sums() -> None:
    for spoilt in (lambda x: (x - x.detach()).sqrt() + x.detach(), lambda x: x * torch.nan):
        found = graded(behind(Placement(torch.clone, substitute=spoilt)))
        assert all(map(math.isfinite, found.products)), found.products


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_what_the_largest_gradient_foretells_of_a_large_image_is_a_number(norm: Norm) -> None:
    x, largest = torch.full((2, 3, 32, 32), 0.5), torch.finfo(torch.float32).max
    grad = torch.full_like(x, largest)
    grad[1] = largest * torch.randn(x[1].shape, generator=torch.Generator().manual_seed(0)).sign()
    found = foretold_differences(grad, x, Threat(norm, 1.0), Draws(0, torch.arange(2)))
    assert found.isfinite().all()
    assert found.abs().amax(1).min() > 1e20
