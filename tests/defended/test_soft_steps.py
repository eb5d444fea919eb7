"""Steps keep what they give, and have the derivative of their mean under noise."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from advbench.defended.soft_steps import Softening, cauchy, wrapped_cauchy

WIDTH = 0.3


def pixels() -> Tensor:
    return torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def signs(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype)


def gradient(step: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    with Softening(WIDTH):
        y = step(x)
    with torch.no_grad():
        assert torch.equal(y.detach(), step(x.detach()))
    (grad,) = torch.autograd.grad(y.sum(), x)
    return grad


SIGNS: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": torch.sign,
    "method": lambda x: x.sign(),
    "in place": lambda x: (x * 1.0).sign_(),
    "heaviside": lambda x: 2 * torch.heaviside(x, torch.ones((), dtype=x.dtype)) - 1,
    "where": signs,
    "method where": lambda x: torch.ones_like(x).where(x > 0, torch.full_like(x, -1.0)),
    "less": lambda x: 1 - 2 * (x < 0).to(x.dtype),
    "at least": lambda x: 2 * x.ge(0).double() - 1,
    "product": lambda x: 2 * torch.ones_like(x) * (x >= 0) - 1,
    "estimator by detach": lambda x: x + (x.sign() - x).detach(),
}


@pytest.mark.parametrize("step", SIGNS.values(), ids=SIGNS)
def test_every_way_to_take_a_sign_has_the_derivative_of_its_mean_under_noise(
    step: Callable[[Tensor], Tensor],
) -> None:
    x = pixels()
    scale = WIDTH * x.square().mean(1, keepdim=True).sqrt()
    expected = 2 * scale / (torch.pi * (x.square() + scale.square()))
    assert torch.allclose(gradient(step, x), expected, rtol=1e-5)


def test_an_estimator_that_adds_a_clip_keeps_it_beside_the_step() -> None:
    def estimated(x: Tensor) -> Tensor:
        clipped = x.clamp(-1, 1)
        return x.sign().detach() + (clipped - clipped.detach())

    x = pixels()
    assert torch.allclose(gradient(estimated, x), gradient(torch.sign, x) + (x.abs() <= 1))


def test_the_derivative_is_that_of_the_mean_over_noise_that_is_drawn() -> None:
    x, step = torch.tensor([0.3], dtype=torch.float64), 1e-2
    quantiles = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    noise = WIDTH * (torch.pi * (quantiles - 0.5)).tan()

    def mean(point: Tensor) -> Tensor:
        return torch.sign(point + noise).mean()

    slope = (mean(x + step) - mean(x - step)) / (2 * step)
    # One number is its own root mean square.
    assert float(2 * cauchy(x, WIDTH / 0.3)) == pytest.approx(float(slope), rel=1e-2)


@pytest.mark.parametrize(
    ("step", "jump_at", "period"),
    [
        (torch.round, 0.5, 1.0),
        (lambda x: x + (x.round() - x).detach(), 0.5, 1.0),
        (lambda x: torch.round(x, decimals=1), 0.5, 0.1),
        (torch.floor, 0.0, 1.0),
        (torch.ceil, 0.0, 1.0),
    ],
    ids=["round", "estimator", "decimals", "floor", "ceil"],
)
def test_staircases_have_the_sum_over_their_steps(
    step: Callable[[Tensor], Tensor], jump_at: float, period: float
) -> None:
    x = pixels()
    jumps = (torch.arange(-3000, 3000, dtype=torch.float64) + jump_at) * period
    gap = x[..., None] - jumps
    scale = WIDTH * period
    expected = period * (scale / (torch.pi * (gap.square() + scale**2))).sum(-1)
    assert torch.allclose(gradient(step, x), expected, rtol=2e-3)


def test_the_mean_slope_of_a_staircase_is_one() -> None:
    x = torch.linspace(0, 1, 1001)[:-1]
    assert float(wrapped_cauchy(x, 0.1, 0.5, 1.0).mean()) == pytest.approx(1.0, rel=1e-4)


def test_an_image_has_the_same_gradient_in_every_batch() -> None:
    x = pixels()
    alone = torch.cat([gradient(torch.sign, row[None]) for row in x])
    assert torch.equal(gradient(torch.sign, x), alone)


def test_no_value_is_too_far_from_a_step_for_a_gradient() -> None:
    x = torch.tensor([[1e-3, 1.0, 50.0]])
    assert bool((gradient(torch.sign, x) > 0).all())
    assert bool(gradient(torch.sign, torch.zeros(2, 3)).isfinite().all())


def test_what_takes_no_step_keeps_its_derivative() -> None:
    x = pixels()
    assert torch.equal(gradient(lambda x: x.relu() * 2, x), 2.0 * (x > 0))
    masked = gradient(lambda x: torch.where(torch.eye(3, 7) > 0, x, 0.0), x)
    assert torch.equal(masked, torch.eye(3, 7, dtype=x.dtype))


def test_a_detach_with_no_step_behind_it_stays_one() -> None:
    x = pixels()
    assert torch.equal(gradient(lambda x: x * x.abs().detach(), x), x.abs())


def test_outside_of_autograd_nothing_is_touched() -> None:
    x = pixels().requires_grad_()
    with Softening(WIDTH) as mode, torch.no_grad():
        assert not x.sign().requires_grad
    assert (mode.taken, mode.softened) == (1, 0)
    with Softening(WIDTH):
        assert not x.detach().sign().requires_grad
