"""Rays: what a query tells, what is kept of it, and when an image is left alone."""

import torch
from torch import Tensor

from advbench import Threat
from advbench.attacks.rays import Rays
from advbench.threat.threat import Norm


def model(points: Tensor) -> Tensor:
    """Class 1 where the first pixel exceeds 0.6."""
    first = points.flatten(1)[:, 0]
    return torch.stack([torch.full_like(first, 0.6), first], dim=1)


def rays(norm: Norm = "linf", eps: float = 0.05, budget: int = 30) -> Rays:
    x = torch.full((2, 1, 2, 2), 0.5)
    return Rays.unknown(model, x, torch.zeros(2, dtype=torch.int64), Threat(norm, eps), budget)


def test_the_end_of_a_ray_is_bisected_as_near_as_asked() -> None:
    known, rows = rays(), torch.arange(2)
    fell = known.offer(rows, torch.ones_like(known.x), torch.tensor([0.4, 0.05]))
    assert fell.tolist() == [True, False]
    known.shorten(rows[:1], torch.zeros(1), 0.01)
    assert 0.1 <= float(known.radius[0]) < 0.102
    assert known.radius[1].isinf()
    assert known.queries.tolist() == [11, 1]


def test_the_border_of_the_ball_is_asked_about_first() -> None:
    known, rows = rays(eps=0.2), torch.arange(1)
    known.offer(rows, torch.ones_like(known.x[:1]), torch.tensor([0.5]))
    known.shorten(rows, torch.zeros(1), 0.01)
    assert float(known.radius[0]) == torch.tensor(0.2).item()
    assert int(known.queries[0]) == 2
    assert known.wanted().tolist() == [1]


def test_what_the_box_cuts_off_is_no_part_of_a_ray_but_signs_stay_signs() -> None:
    norms: tuple[Norm, ...] = ("linf", "l2")
    for norm in norms:
        known, rows = rays(norm), torch.arange(2)
        known.offer(rows, torch.ones_like(known.x), torch.full((2,), 0.9))
        assert (known.examples() == 1.0).all()
        length = 0.9 if norm == "linf" else 1.0
        torch.testing.assert_close(known.radius, torch.full((2,), length))
    torch.testing.assert_close(known.direction, torch.full_like(known.x, 0.5))


def test_the_budget_ends_every_search() -> None:
    known = rays(budget=3)
    known.offer(torch.arange(2), torch.ones_like(known.x), torch.tensor([0.5, 0.5]))
    known.shorten(torch.arange(2), torch.zeros(2), 1e-6)
    assert known.queries.tolist() == [3, 3]
    assert known.wanted().tolist() == []
    assert known.wanted(needed=0).tolist() == [0, 1]
