"""A chain of denoising steps against a loop by hand, and its gradient against autograd through that loop."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from advbench import Draws
from advbench.defenses.denoising_process import Step, purified
from advbench.defenses.purify import ddpm, schedule
from advbench.errors import DefenseError
from tests.defenses.denoisers import MEAN, VARIANCE, Recorded, is_normal, made, number, of_gaussian
from tests.defenses.families import images, streams

STEPS = [Step(0.3, 0.3, 1.0), Step(0.2, 0.25, 0.5), Step(0.0, 0.1, 0.75)]
X = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
DRAWS = Draws(0, torch.arange(3))


def denoise(x: Tensor, sigma: float) -> Tensor:
    return torch.sin(x) / (1.0 + sigma)


def noise_of(steps: list[Step]) -> list[Tensor]:
    """The noise of each step, which a denoiser sees that changes nothing, of images that are zero."""
    noise: list[Tensor] = []

    def watch(x: Tensor, sigma: float) -> Tensor:
        noise.append(x.clone())
        return torch.zeros_like(x)

    purified(torch.zeros_like(X), [step._replace(share=1.0) for step in steps], watch, DRAWS)
    return noise


def by_hand(x: Tensor) -> Tensor:
    for step, noise in zip(STEPS, noise_of(STEPS), strict=True):
        u = x + noise
        x = (1.0 - step.share) * u + step.share * denoise(u, step.sigma)
    return x


def test_the_steps_are_those_of_the_formula() -> None:
    assert torch.allclose(purified(X, STEPS, denoise, DRAWS), by_hand(X), atol=1e-12)


def test_the_gradient_is_that_of_the_unrolled_loop() -> None:
    x, same = X.clone().requires_grad_(), X.clone().requires_grad_()
    (grad,) = torch.autograd.grad(purified(x, STEPS, denoise, DRAWS).square().sum(), x)
    (unrolled,) = torch.autograd.grad(by_hand(same).square().sum(), same)
    assert torch.allclose(grad, unrolled, atol=1e-12)


def test_the_first_step_that_gives_nan_is_named() -> None:
    def breaking(x: Tensor, sigma: float) -> Tensor:
        return x * torch.nan if sigma == STEPS[1].sigma else x

    with pytest.raises(DefenseError, match="step 2 of 3"):
        purified(X, STEPS, breaking, DRAWS)


def test_one_shot_is_the_denoiser_of_the_noisy_image() -> None:
    seen, x = Recorded(), images(500, 1, 8, 8).double()
    y = made("one-shot", seen)(x, streams(x))
    ((noisy, sigma),) = seen.given
    assert sigma == pytest.approx(0.3)
    assert is_normal((noisy - x) / 0.3)
    torch.testing.assert_close(y, MEAN + (noisy - MEAN) * 0.09 / (0.09 + 0.3**2))


def test_the_steps_of_ddpm_are_those_of_its_equations_in_scaled_images() -> None:
    """Ho, Jain, Abbeel 2020, equation 7, with images that shrink by sqrt(a) as noise grows."""
    seen, x, steps = Recorded(), images(400, 1, 8, 8).double(), 5
    y = made("ddpm", seen, steps)(x, streams(x))
    levels = [sigma for _, sigma in seen.given]
    assert len(levels) == steps
    a = [1.0 / (1.0 + sigma**2) for sigma in levels]  # a bar, of images in [0, 1]
    for (u, sigma), after, a_t, a_s in zip(seen.given[:-1], seen.given[1:], a[:-1], a[1:], strict=True):
        x_t, x_0, beta = math.sqrt(a_t) * u, of_gaussian(u, number(sigma)), 1.0 - a_t / a_s
        of_x_0, of_x_t = math.sqrt(a_s) * beta, math.sqrt(1.0 - beta) * (1.0 - a_s)
        mean = (of_x_0 * x_0 + of_x_t * x_t) / (1.0 - a_t)
        deviation = math.sqrt((1.0 - a_s) / (1.0 - a_t) * beta)
        assert is_normal((math.sqrt(a_s) * after[0] - mean) / deviation)
    torch.testing.assert_close(y, of_gaussian(seen.given[-1][0], number(levels[-1])))


def test_the_steps_of_langevin_follow_the_score() -> None:
    seen, x, steps, a, s = Recorded(), images(400, 1, 8, 8).double(), 5, 0.15, 0.3
    y = made("langevin", seen, steps, step_size=a)(x, streams(x))
    assert [sigma for _, sigma in seen.given] == pytest.approx([s] * steps)
    assert is_normal((seen.given[0][0] - x) / s)
    for (u, _), (after, _) in zip(seen.given[:-1], seen.given[1:], strict=True):
        score = -(u - MEAN) / (VARIANCE + s**2)  # of N(MEAN, VARIANCE + s^2)
        assert is_normal((after - u - a * s**2 * score) / (s * math.sqrt(2.0 * a)))
    torch.testing.assert_close(y, of_gaussian(seen.given[-1][0], number(s)))


def test_many_steps_of_ddpm_draw_from_the_posterior() -> None:
    x = torch.full((4000, 1, 4, 4), 0.9).double()
    seen, s = Recorded(), 0.3
    y = made("ddpm", seen, 300)(x, streams(x))
    shrunk = VARIANCE / (VARIANCE + s**2)
    rest = y - (MEAN + (seen.given[0][0] - MEAN) * shrunk)  # what is left of the noisy image's posterior mean
    assert rest.mean().item() == pytest.approx(0.0, abs=0.01)
    assert rest.var().item() == pytest.approx(VARIANCE * s**2 / (VARIANCE + s**2), rel=0.03)
    assert y.mean().item() == pytest.approx(MEAN + (0.9 - MEAN) * shrunk, abs=0.01)


def test_a_long_langevin_process_forgets_its_image_and_keeps_the_prior() -> None:
    x, s, a = torch.full((4000, 1, 4, 4), 0.9).double(), 0.3, 0.1
    y = made("langevin", of_gaussian, 150, s, step_size=a)(x, streams(x))
    shrunk = VARIANCE / (VARIANCE + s**2)
    kept = 1.0 - a * (1.0 - shrunk)  # of a deviation from the mean, in a step
    assert y.mean().item() == pytest.approx(MEAN, abs=0.01)
    stationary = 2.0 * a * s**2 / (1.0 - kept**2)
    assert y.var().item() == pytest.approx(shrunk**2 * stationary, rel=0.03)


def test_the_schedule_is_that_of_ddpm() -> None:
    """A thousand steps of beta from 1e-4 to 0.02: DiffPure's t* = 0.1 is the hundredth of them."""
    a = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
    deviation = 0.5 * np.sqrt(1.0 / a - 1.0)
    for last, noise in ((99, 0.17), (149, 0.26)):
        assert deviation[last] == pytest.approx(noise, abs=0.005)
    levels = schedule(float(deviation[99]), 4)
    assert levels == pytest.approx([deviation[99 - 25 * number] for number in range(4)], rel=0.02)
    assert ddpm(0.3, 7)[-1].share == 1.0


def test_ddpm_in_one_step_is_one_shot() -> None:
    x = images(3, 1, 8, 8)
    one, other = (made(form, of_gaussian, 1)(x, streams(x)) for form in ("one-shot", "ddpm"))
    assert torch.equal(one, other)


def test_noise_is_fresh_in_every_step_and_image_and_the_first_is_that_of_any_number_of_steps() -> None:
    x = images(1, 1, 8, 8).expand(2, -1, -1, -1)
    few, many = Recorded(lambda x, _: x), Recorded(lambda x, _: x)
    made("langevin", few, 3)(x, streams(x))
    made("langevin", many, 40)(x, streams(x))
    assert torch.equal(few.given[0][0], many.given[0][0])
    inputs = torch.stack([x, *(u for u, _ in many.given)])
    noise = (inputs[1:] - inputs[:-1]).flatten(2).transpose(0, 1).flatten(0, 1)
    assert torch.corrcoef(noise).fill_diagonal_(0.0).abs().max() < 0.6
