"""Differences along random signs: exact where they can be, nearly the transpose elsewhere, by image."""

from typing import Any

import pytest
import torch
from torch import Tensor

from advbench.defended.finite_difference import FiniteDifference
from advbench.defenses import Round
from advbench.errors import SpecError
from tests.defended.test_substitutes import linear, transposed


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def v() -> Tensor:
    return torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(1))


def test_finite_differences_of_a_linear_map_come_to_its_transpose(x: Tensor, v: Tensor) -> None:
    expected = transposed(v)
    anywhere = FiniteDifference(directions=4000, reach=None).product(linear, x, v)
    torch.testing.assert_close(anywhere, expected, atol=0.6, rtol=0.0)
    near = FiniteDifference(directions=1000, reach=1).product(linear, x, v)[..., :-1]
    assert (near - expected[..., :-1]).abs().mean() < 0.15


@pytest.mark.parametrize("reach", [None, 0, 1])
def test_finite_differences_depend_on_the_image_alone(x: Tensor, v: Tensor, reach: int | None) -> None:
    how = FiniteDifference(directions=3, reach=reach)
    whole = how.product(Round(), x, v)
    assert torch.equal(how.product(Round(), x[1:2], v[1:2]), whole[1:2])
    assert torch.equal(how.product(Round(), x, v), whole)
    assert not torch.equal(how.product(Round(), x + 1e-3, v), whole)


@pytest.mark.parametrize("directions", [1, 5])
@pytest.mark.parametrize("step", [0.01, 0.5])
def test_a_map_of_each_pixel_alone_has_its_exact_slope_with_no_reach(directions: int, step: float) -> None:
    """Each sign meets itself again: `u * a u = a`."""
    slope = torch.linspace(-2.0, 2.0, 72, dtype=torch.float64).view(1, 2, 6, 6)
    x = torch.rand(3, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v = torch.randn(3, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    how = FiniteDifference(directions=directions, step=step, reach=0)
    torch.testing.assert_close(how.product(lambda x: slope[:, :1] * x + 1.0, x, v), slope[:, :1] * v)


def test_a_quantiser_is_seen_over_a_step_and_not_below_it() -> None:
    x, v = torch.full((1, 1, 4, 4), 0.4), torch.ones(1, 1, 4, 4)
    small, large = (FiniteDifference(step=step, reach=0).product(torch.round, x, v) for step in (0.05, 0.2))
    assert small.eq(0.0).all()
    torch.testing.assert_close(large, torch.full_like(x, 1.0 / 0.4))


def test_the_forward_pass_is_the_maps_own_and_a_product_costs_two_evaluations_a_direction() -> None:
    calls: list[Tensor] = []

    def writes(x: Tensor) -> Tensor:
        calls.append(x.clone())
        return x.round_()

    x = torch.tensor([[[[0.2, 0.7]]]], requires_grad=True)
    y = FiniteDifference(directions=3, step=0.1)(writes, x)
    assert y.flatten().tolist() == [0.0, 1.0]
    assert x.detach().flatten().tolist() == pytest.approx([0.2, 0.7])
    torch.autograd.backward(y.sum())
    assert len(calls) == 1 + 2 * 3
    for ahead, behind in zip(calls[1::2], calls[2::2], strict=True):
        torch.testing.assert_close((ahead + behind) / 2.0, x.detach())
        torch.testing.assert_close((ahead - behind).abs(), torch.full_like(ahead, 0.2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directions": 0}, "finite-difference: directions must be at least 1, got 0."),
        ({"step": 0.0}, "finite-difference: step must be positive, got 0."),
        ({"step": torch.inf}, "finite-difference: step must be positive, got inf."),
        ({"step": torch.nan}, "finite-difference: step must be positive, got nan."),
        ({"reach": -1}, "finite-difference: reach must not be negative, got -1."),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        FiniteDifference(**settings)
    assert str(refused.value) == message
