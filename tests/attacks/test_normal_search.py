"""The L2 and L1 search: the ray turns towards the boundary's normal."""

import pytest
import torch
from torch import Tensor

from advbench import Draws, Threat
from advbench.attacks.normal_search import search_normals
from advbench.attacks.rays import Rays
from advbench.threat.threat import Norm


def searched(norm: Norm, budget: int, side: int = 8) -> tuple[Rays, Tensor]:
    w = torch.randn(side * side, generator=torch.Generator().manual_seed(3))

    def model(points: Tensor) -> Tensor:
        score = (points - 0.5).flatten(1) @ w
        return torch.stack([torch.full_like(score, 4.0), score], dim=1)

    x = torch.full((3, 1, side, side), 0.5)
    rays = Rays.unknown(model, x, torch.zeros(3, dtype=torch.int64), Threat(norm, 1e-3), budget)
    search_normals(rays, Draws(0, torch.arange(3)))
    return rays, w


def test_the_ray_turns_to_the_normal() -> None:
    rays, w = searched("l2", 2000)
    cosine = torch.nn.functional.cosine_similarity(rays.direction.flatten(1), w[None])
    assert (cosine > 0.9).all()
    assert (rays.radius < 1.15 * 4.0 / w.norm()).all()
    assert (rays.queries <= 2000).all()


@pytest.mark.parametrize(("norm", "side"), [("l2", 8), ("l1", 8), ("l2", 16)])
def test_more_queries_leave_a_shorter_ray(norm: Norm, side: int) -> None:
    few, many = (searched(norm, budget, side)[0].radius for budget in (150, 1500))
    assert (many < few).all()


def test_examples_fool_at_every_budget() -> None:
    for budget in (1, 2, 17, 40):
        rays, _ = searched("l2", budget)
        known = rays.radius.isfinite()
        fooling = rays.model(rays.examples()).argmax(1) == 1
        assert torch.equal(fooling, known)
        assert (rays.queries <= budget).all()
