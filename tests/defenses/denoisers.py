"""Denoisers for the tests of purification, and what is known of them by formulas."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from advbench.defenses import Purify
from advbench.defenses.purify import Form

MEAN, VARIANCE = 0.4, 0.09


FORMS: list[Form] = ["one-shot", "ddpm", "langevin"]


def of_gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The posterior mean of independent Gaussian pixels."""
    return MEAN + (x - MEAN) * (VARIANCE / (VARIANCE + sigma**2))


def number(sigma: float) -> Tensor:
    return torch.tensor(sigma, dtype=torch.float64)


class Recorded:
    """A denoiser that remembers what it was given."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor] = of_gaussian) -> None:
        self.function = function
        self.given: list[tuple[Tensor, float]] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.given.append((x.detach().clone(), float(sigma)))
        return self.function(x, sigma)


class Convolved(nn.Module):
    """A small network that knows the noise."""

    def __init__(self, channels: int = 1, width: int = 8) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(channels, width, 3, padding=1)
            self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x / (1.0 + sigma)) + sigma)
        y: Tensor = x + sigma * self.last(hidden)
        return y


def made(form: Form, denoiser: Any, steps: int = 4, noise: float = 0.3, **others: Any) -> Any:
    return Purify(
        form=form, denoiser=denoiser, noise=noise, steps=None if form == "one-shot" else steps, **others
    )


def is_normal(z: Tensor) -> bool:
    """Whether many numbers may be standard normal ones, by their first moments and their largest."""
    return (
        abs(z.mean().item()) < 0.03
        and abs(z.var().item() - 1.0) < 0.04
        and abs(z.pow(4).mean().item() - 3.0) < 0.3
        and z.abs().max().item() < 6.5
    )
