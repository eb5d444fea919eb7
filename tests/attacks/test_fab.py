"""The fast adaptive boundary attack: its step against the paper's formula, its restarts, and its settings."""

import pytest
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.attacks import FAB
from advbench.errors import SpecError


def test_restarts_of_fab_never_lose() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 4))
    x = torch.rand(16, 1, 4, 4)
    with torch.no_grad():
        y = network(x).argmax(1)
    threat = Threat("l2", 0.5)
    once, more = (
        attack(network, x, y, threat, Draws(0, torch.arange(16)))
        for attack in (FAB(steps=10), FAB(steps=10, restarts=3))
    )
    assert (threat.distance(more.x_adv, x) <= threat.distance(once.x_adv, x) + 1e-6).all()


@pytest.mark.parametrize(("alpha_max", "eta"), [(0.0, 1.0), (0.1, 1.05), (1.0, 1.0), (1.0, 1.3)])
def test_one_step_in_l2_is_the_formula_of_the_paper(alpha_max: float, eta: float) -> None:
    """Far from the box the smallest change to `w z = b` is `-(w z - b) w / |w|^2`."""
    w, b = torch.tensor([0.6, -0.8, 0.0]), 0.1
    x, now = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.52, 0.49, 0.6])
    d_now, d_x = (-(w @ z - b) * w for z in (now, x))
    lean = min(float(d_now.norm() / (d_now.norm() + d_x.norm())), alpha_max)
    expected = (1 - lean) * (now + eta * d_now) + lean * (x + eta * d_x)

    def image(z: Tensor) -> Tensor:
        return z.view(1, 1, 1, 3)

    height, slope = (w @ now - b).view(1), image(w)
    found = FAB(alpha_max=alpha_max, eta=eta)._step(image(now), image(x), height, slope, Threat("l2", 0.5))
    torch.testing.assert_close(found.flatten(), expected)


def test_where_the_gradient_is_lost_a_step_stays_where_it_is() -> None:
    x, now = torch.full((2, 1, 1, 2), 0.5), torch.full((2, 1, 1, 2), 0.6)
    slope = torch.stack([torch.zeros(1, 1, 2), torch.full((1, 1, 2), torch.nan)])
    found = FAB(alpha_max=0.0)._step(now, x, torch.tensor([-1.0, -1.0]), slope, Threat("l2", 0.5))
    assert torch.equal(found, now)


def test_an_images_restarts_are_its_own_and_the_first_begins_at_the_image() -> None:
    seen: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        if x.requires_grad:
            seen.append(x.detach().clone())
        z = x.flatten(1).sum(1, keepdim=True)
        return torch.cat([9.0 - z, z], dim=1)

    x, y = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(3).long()
    FAB(steps=1, restarts=2)(model, x, y, Threat("linf", 0.1), Draws(0, torch.tensor([4, 5, 6])))
    whole = [each.clone() for each in seen]
    seen.clear()
    FAB(steps=1, restarts=2)(model, x[1:2], y[1:2], Threat("linf", 0.1), Draws(0, torch.tensor([5])))
    assert torch.equal(whole[0], x)
    assert 0.0 < float((whole[1] - x).abs().max()) <= 0.05 + 1e-6, "halfway to a random point of the ball"
    assert torch.equal(seen[1], whole[1][1:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FAB(steps=0), "fab: steps must be at least 1"),
        (lambda: FAB(targets=0), "fab: targets must be at least 1"),
        (lambda: FAB(restarts=0), "fab: restarts must be at least 1"),
        (lambda: FAB(alpha_max=1.5), r"alpha_max must lie in \[0, 1\]"),
        (lambda: FAB(eta=0.9), "eta must be at least 1"),
        (lambda: FAB(beta=1.0), r"beta must lie in \(0, 1\)"),
    ],
)
def test_settings_of_fab_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()  # type: ignore[operator]  # a table of constructors
