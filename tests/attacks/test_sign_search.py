"""The L-inf search: directions are corners of the ball, and each success shortens the ray."""

import torch
from torch import Tensor

from advbench import Draws, Threat
from advbench.attacks.rays import Rays
from advbench.attacks.sign_search import search_signs


def searched(budget: int, eps: float = 0.05) -> tuple[Rays, list[float]]:
    w = torch.randn(64, generator=torch.Generator().manual_seed(3))
    radii: list[float] = []

    def model(points: Tensor) -> Tensor:
        score = (points - 0.5).flatten(1) @ w
        radii.extend((points - 0.5).abs().amax((1, 2, 3)).tolist())
        return torch.stack([torch.full_like(score, 4.0), score], dim=1)

    x = torch.full((1, 1, 8, 8), 0.5)
    rays = Rays.unknown(model, x, torch.zeros(1, dtype=torch.int64), Threat("linf", eps), budget)
    search_signs(rays, Draws(0, torch.arange(1)))
    return rays, radii


def test_directions_are_patterns_of_signs() -> None:
    rays, _ = searched(60)
    assert (rays.direction.abs() == 1.0).all()


def test_more_queries_never_leave_a_longer_ray() -> None:
    radii = [float(searched(budget)[0].radius) for budget in (400, 800, 1600)]
    optimum = 4.0 / float(torch.randn(64, generator=torch.Generator().manual_seed(3)).abs().sum())
    assert radii[-1] < 1.1 * max(optimum, 0.05)
    assert radii[-1] <= radii[0]


def test_nothing_is_asked_inside_the_ball_beyond_its_border() -> None:
    rays, radii = searched(1000, eps=0.12)
    assert float(rays.radius) == torch.tensor(0.12).item()
    assert min(radii) >= 0.12 - 1e-6
    assert len(radii) == int(rays.queries) < 1000
