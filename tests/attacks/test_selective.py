"""Selective and orthogonal projected gradient descent."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement, Threat
from advbench.attacks import PGD, Selective, orthogonal
from advbench.attacks.selective import without_part
from advbench.defended.detector import Detector, Settled
from advbench.errors import SpecError

X = torch.full((6, 1, 2, 2), 0.5)
Y = torch.zeros(6, dtype=torch.int64)
DRAWS = Draws(0, torch.arange(6))


class FirstPixel(nn.Module):
    """Class 1 where the first pixel is above 0.6."""

    def forward(self, x: Tensor) -> Tensor:
        z = x[:, 0, 0, :1] - 0.6
        return torch.cat([-z, z], dim=1)


def sum_of_others(x: Tensor) -> Tensor:
    """Suspicious where the first pixel is bright and the others are not."""
    return x[:, 0, 0, 0] - x.flatten(1)[:, 1:].mean(1)


def guarded(threshold: float) -> DefendedModel:
    detector = Detector(sum_of_others, settled=Settled(threshold=threshold, spread=0.1, weight=0.2))
    return DefendedModel(FirstPixel(), [Placement(detector)]).against(0)


@pytest.mark.parametrize("attack", [Selective(steps=20), orthogonal(steps=20), PGD(steps=20, loss="margin")])
@pytest.mark.parametrize(("threshold", "falls"), [(0.05, True), (-0.3, False)])
def test_both_are_beaten_where_a_point_of_the_ball_beats_both(
    attack: Any, threshold: float, falls: bool
) -> None:
    """Raising all pixels to 0.7 beats the first; nothing within 0.2 has the score of the second."""
    found = attack(guarded(threshold), X, Y, Threat("linf", 0.2), DRAWS)
    beaten = (FirstPixel()(found.x_adv).argmax(1) == 1) & (sum_of_others(found.x_adv) <= threshold)
    assert beaten.all() if falls else not beaten.any()
    assert (found.steps > 0).all()


def test_orthogonal_steps_cost_two_gradients_each() -> None:
    one, two = (
        attack(guarded(-0.3), X, Y, Threat("linf", 0.2), DRAWS)
        for attack in (Selective(steps=7), orthogonal(steps=7))
    )
    assert one.steps.tolist() == [7] * 6
    assert two.steps.tolist() == [14] * 6
    assert two.queries.tolist() == [15] * 6


@pytest.mark.parametrize("attack", [Selective(steps=5, restarts=2), orthogonal(steps=5, restarts=2)])
def test_without_a_detector_both_are_pgd_on_the_margin(attack: Selective) -> None:
    plain = PGD(steps=5, restarts=2, loss="margin")(FirstPixel(), X, Y, Threat("linf", 0.2), DRAWS)
    assert torch.equal(attack(FirstPixel(), X, Y, Threat("linf", 0.2), DRAWS).x_adv, plain.x_adv)


def test_an_images_result_does_not_depend_on_its_neighbours() -> None:
    attack, threat = orthogonal(steps=6), Threat("l2", 0.3)
    whole = attack(guarded(0.02), X, Y, threat, DRAWS).x_adv
    alone = attack(guarded(0.02), X[2:3], Y[2:3], threat, DRAWS.take(torch.tensor([2]))).x_adv
    assert torch.equal(whole[2:3], alone)


def test_a_gradient_loses_its_part_along_the_other() -> None:
    grad, other = torch.randn(4, 1, 3, 3), torch.randn(4, 1, 3, 3)
    other[3] = 0.0
    left = without_part(grad, other)
    assert torch.allclose((left * other).flatten(1).sum(1), torch.zeros(4), atol=1e-5)
    assert torch.equal(left[3], grad[3])


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"restarts": 0}, {"step_size": 0.0}])
def test_numbers_out_of_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"selective: {next(iter(wrong))} must be"):
        Selective(**wrong)
