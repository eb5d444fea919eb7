"""Projections, steps and draws keep to ball and box, and equal their closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.threat.norms import l1_norm, l2_norm, linf_norm, steepest_l1, steepest_l2, steepest_linf
from advbench.threat.threat import ROUNDING, Norm, Threat

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")


def images(seed: int, n: int = 3, shape: tuple[int, ...] = (2, 4, 4)) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@given(st.sampled_from(NORMS), st.floats(1e-3, 1.0), st.integers(0, 10_000), st.floats(0.01, 100.0))
def test_a_projection_ends_in_ball_and_box(norm: Norm, eps: float, seed: int, far: float) -> None:
    threat, x = Threat(norm, eps), images(seed)
    x_adv = threat.project(x + far * (images(seed + 1) - 0.5), x)
    assert threat.contains(x_adv, x).all()
    assert x_adv.min() >= 0.0
    assert x_adv.max() <= 1.0
    assert (threat.distance(x_adv.double(), x.double()) <= eps + ROUNDING).all()


@given(st.sampled_from(NORMS), st.floats(1e-3, 1.0), st.integers(0, 10_000))
def test_projecting_twice_changes_nothing_beyond_rounding(norm: Norm, eps: float, seed: int) -> None:
    threat, x = Threat(norm, eps), images(seed)
    once = threat.project(x + 3.0 * (images(seed + 1) - 0.5), x)
    torch.testing.assert_close(threat.project(once, x), once, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_point_inside_stays_where_it_is(norm: Norm) -> None:
    x = images(0)
    x_adv = (x + 1e-3 * (images(1) - 0.5)).clamp(0.0, 1.0)
    torch.testing.assert_close(Threat(norm, 0.5).project(x_adv, x), x_adv, rtol=0.0, atol=1e-7)


def test_the_linf_projection_is_the_nearest_point() -> None:
    x, x_adv = images(0).double(), images(0).double() + 4.0 * (images(1).double() - 0.5)
    low, high = (x - 0.1).clamp_min(0.0), (x + 0.1).clamp_max(1.0)
    torch.testing.assert_close(
        Threat("linf", 0.1).project(x_adv, x), torch.minimum(torch.maximum(x_adv, low), high)
    )


def test_the_l2_projection_scales_the_perturbation() -> None:
    x = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    delta = torch.tensor([0.3, 0.0, 0.0, 0.4], dtype=torch.float64).view(1, 1, 2, 2)
    torch.testing.assert_close(Threat("l2", 0.25).project(x + delta, x), x + delta / 2)


@given(st.floats(0.01, 20.0), st.integers(0, 10_000), st.sampled_from([0.5, 4.0, 100.0]))
def test_the_l1_projection_is_the_nearest_point_of_ball_and_box(eps: float, seed: int, far: float) -> None:
    x = images(seed).double()
    w = far * (images(seed + 1).double() - 0.5)
    found = Threat("l1", eps).project(x + w, x)
    low, high = torch.zeros(3, 1, dtype=torch.float64), w.flatten(1).abs().amax(1, keepdim=True)
    flat, room = w.flatten(1), torch.where(w > 0, 1.0 - x, x).flatten(1)
    for _ in range(100):  # the shrinkage by bisection
        middle = (low + high) / 2
        inside = torch.minimum((flat.abs() - middle).clamp_min(0), room).sum(1, keepdim=True) <= eps
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    delta = flat.sign() * torch.minimum((flat.abs() - high).clamp_min(0), room)
    torch.testing.assert_close(found, x + delta.view_as(x), rtol=0.0, atol=1e-9)


@given(st.integers(0, 10_000), st.integers(-30, 30))
def test_a_steepest_step_has_unit_length_whatever_the_gradients_scale(seed: int, exponent: int) -> None:
    grad = (images(seed) - 0.5) * 10.0**exponent
    torch.testing.assert_close(l2_norm(steepest_l2(grad)), torch.ones(3))
    torch.testing.assert_close(linf_norm(steepest_linf(grad)), torch.ones(3))
    torch.testing.assert_close(l1_norm(steepest_l1(grad)), torch.ones(3))


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_or_undefined_gradient_gives_no_step(norm: Norm) -> None:
    grad = torch.zeros(2, 1, 2, 2)
    grad[1] = torch.nan
    assert torch.equal(Threat(norm, 0.1).steepest(grad), torch.zeros(2, 1, 2, 2))


@given(st.sampled_from(NORMS), st.floats(1e-3, 1.0), st.integers(0, 1000))
def test_random_points_lie_in_ball_and_box(norm: Norm, eps: float, seed: int) -> None:
    x, threat = images(seed), Threat(norm, eps)
    assert threat.contains(threat.random_point(x, Draws(seed, torch.arange(3))), x).all()


def test_random_points_fill_the_linf_ball_evenly() -> None:
    x = torch.full((500, 1, 8, 8), 0.5)
    delta = Threat("linf", 0.25).random_point(x, Draws(0, torch.arange(500))) - x
    assert delta.mean().abs() < 2e-3
    torch.testing.assert_close(delta.std(), torch.tensor(0.25 / 3**0.5), rtol=0.01, atol=0.0)


def test_radii_of_random_points_in_the_l2_ball_follow_the_volume() -> None:
    x = torch.full((4000, 1, 1, 2), 0.5)
    radius = l2_norm(Threat("l2", 0.4).random_point(x, Draws(0, torch.arange(4000))) - x) / 0.4
    # In two dimensions the radius squared is uniform.
    torch.testing.assert_close((radius**2).mean(), torch.tensor(0.5), rtol=0.03, atol=0.0)
    torch.testing.assert_close((radius**2).std(), torch.tensor(12**-0.5), rtol=0.03, atol=0.0)


def test_random_points_in_the_l1_ball_follow_the_volume() -> None:
    x = torch.full((4000, 1, 1, 3), 0.5)
    delta = (Threat("l1", 0.4).random_point(x, Draws(0, torch.arange(4000))) - x) / 0.4
    # In three dimensions the cube of the radius is uniform, and no entry differs from another.
    radius = l1_norm(delta)
    torch.testing.assert_close((radius**3).mean(), torch.tensor(0.5), rtol=0.03, atol=0.0)
    torch.testing.assert_close((radius**3).std(), torch.tensor(12**-0.5), rtol=0.03, atol=0.0)
    assert delta.mean(0).abs().max() < 0.01
    torch.testing.assert_close(delta.abs().mean(0).flatten(), torch.full((3,), 0.25), rtol=0.05, atol=0.0)
