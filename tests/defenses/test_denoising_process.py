"""A chain of denoising steps against a loop by hand, and its gradient against autograd through that loop."""

import pytest
import torch
from torch import Tensor

from advbench import Draws
from advbench.defenses.denoising_process import Step, purified
from advbench.errors import DefenseError

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
