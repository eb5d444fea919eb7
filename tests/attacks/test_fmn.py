"""The fast minimum-norm attack: how its radius follows the boundary, and its settings."""

import math

import pytest
import torch
from torch import Tensor

from advbench import Draws, Threat
from advbench.attacks import FMN
from advbench.attacks.fmn import _cosine, _inwards
from advbench.errors import SpecError


def walked(attack: FMN, x: Tensor, edge: float) -> list[float]:
    """The only pixel of the points that an attack differentiates at, where class 1 wins above an edge."""
    seen: list[float] = []

    def model(x: Tensor) -> Tensor:
        if x.requires_grad:
            seen.append(x.item())
        z = x.flatten(1) - edge
        return torch.cat([torch.zeros_like(z), z], dim=1)

    attack(model, x, torch.tensor([0]), Threat("linf", 0.01), Draws(0, torch.tensor([0])))
    return seen


def test_the_radius_follows_the_recurrence_of_the_paper_on_one_pixel() -> None:
    """Written out for a slope of 1, where the linearised boundary is the boundary."""
    steps, first, x, edge = 12, 1.0, 0.2, 0.5
    z, radius, best = x, math.inf, math.inf
    expected = []
    for k in range(steps):
        expected.append(z)
        half_wave = (1 + math.cos(math.pi * k / steps)) / 2
        gamma, step = 0.001 + 0.049 * half_wave, 0.01 + (first - 0.01) * half_wave
        if z > edge:
            best = min(best, abs(z - x))
            radius = min(best, (1 - gamma) * radius)
        elif best == math.inf:
            radius = (1 + gamma) * (abs(z - x) + (edge - z))
        else:
            radius = (1 + gamma) * radius
        z = min(max(z + first * step * min(radius, 1.0), x - radius), x + radius)
    found = walked(FMN(steps=steps, step_size=first), torch.full((1, 1, 1, 1), x), edge)
    assert found == pytest.approx(expected, abs=1e-5)
    assert min(each for each in found if each > edge) < edge + 0.02


@pytest.mark.parametrize("edge", [-0.5, 2.0])
def test_a_boundary_outside_of_the_box_is_walked_to_and_never_beyond(edge: float) -> None:
    found = walked(FMN(steps=8), torch.full((1, 1, 1, 1), 0.5), edge)
    assert all(0.0 <= each <= 1.0 for each in found)
    assert len(found) == 8


def test_what_points_out_of_the_box_is_left_out_of_a_step() -> None:
    x = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0, 1e-9])
    grad = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, -1.0])
    assert _inwards(grad, x).tolist() == [0.0, 1.0, -1.0, -1.0, 0.0, -1.0]


def test_a_cosine_goes_from_the_first_value_to_the_last_and_is_halfway_in_the_middle() -> None:
    assert [_cosine(4.0, 1.0, each) for each in (0.0, 0.5, 1.0)] == pytest.approx([4.0, 2.5, 1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FMN(steps=0), "fmn: steps must be at least 1"),
        (lambda: FMN(targets=-1), "fmn: targets must be at least 0"),
        (lambda: FMN(step_size=0.0), "fmn: step_size must be positive"),
    ],
)
def test_settings_of_fmn_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()  # type: ignore[operator]  # a table of constructors
