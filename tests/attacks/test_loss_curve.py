"""The loss along an attack, after 1, 2, 4 and so on of its gradient steps and at its end."""

import pytest
import torch
from torch import Tensor

from advbench import Threat
from advbench.attacks import APGD, FMN, PGD, autoattack
from advbench.results.records import LOSS_COLUMNS, LOSS_MARKS
from tests.attacks.counted import Model, run

PIXELS = 16


def far_from_falling(x: Tensor) -> Tensor:
    """A margin of class 1 that is the sum of the pixels less 100."""
    rise = x.flatten(1).sum(1)
    return torch.stack([torch.full_like(rise, 100.0), rise], dim=1)


def falling_at(edges: Tensor) -> Model:
    """Images in whose upper half class 1 wins once the mean pixel is beyond an edge of their own."""

    def model(x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([torch.zeros_like(mean), mean - edges[: len(mean)]], dim=1)

    return model


def test_on_a_slope_the_loss_is_known_after_every_step() -> None:
    x, threat = torch.full((1, 1, 4, 4), 0.25), Threat("linf", 0.1)
    attack = PGD(steps=20, step_size=0.01, loss="margin", random_start=False)
    losses = run(attack, far_from_falling, x, torch.tensor([0]), threat).losses
    assert losses is not None
    assert losses.shape == (1, len(LOSS_COLUMNS))
    reached = [mark for mark in LOSS_MARKS if mark <= 20]
    meant = [PIXELS * (0.25 + min(0.01 * (mark - 1), 0.1)) - 100.0 for mark in reached]
    torch.testing.assert_close(losses[0, : len(reached)], torch.tensor(meant))
    assert losses[0, len(reached) : -1].isnan().all(), "there were only 20 steps"
    torch.testing.assert_close(losses[0, -1], torch.tensor(PIXELS * 0.35 - 100.0))


def test_the_curve_of_an_image_ends_where_it_falls_whoever_shares_its_batch() -> None:
    x, y, threat = torch.full((2, 1, 4, 4), 0.25), torch.tensor([0, 0]), Threat("linf", 0.1)
    attack = PGD(steps=20, step_size=0.01, loss="margin", random_start=False)
    both = run(attack, falling_at(torch.tensor([0.275, 9.0])), x, y, threat)
    assert both.losses is not None
    assert both.steps.tolist() == [4, 20]
    assert both.losses[0].isfinite().tolist() == [True] * 3 + [False] * 8 + [True]
    assert both.losses[0, -1] == both.losses[0, 2] > 0, "it fell at its fourth gradient"
    alone = run(attack, falling_at(torch.tensor([0.275])), x[:1], y[:1], threat)
    assert alone.losses is not None
    torch.testing.assert_close(alone.losses, both.losses[:1], equal_nan=True)


@pytest.mark.parametrize("attack", [PGD(steps=10, restarts=3), APGD(steps=10, restarts=3)])
def test_a_restart_takes_nothing_back(attack: PGD | APGD) -> None:
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    losses = run(attack, far_from_falling, x, torch.zeros(6, dtype=torch.int64), Threat("linf", 0.1)).losses
    assert losses is not None
    known = losses[:, [*range(5), -1]]
    assert known.isfinite().all(), "30 steps are 16 and more"
    assert (known.diff() >= 0.0).all()


def test_steps_outside_the_ball_have_no_loss() -> None:
    """In L1, APGD climbs in balls of three and two times the radius first: 60 of 100 steps."""
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    attempt = run(APGD(steps=100), far_from_falling, x, torch.zeros(2, dtype=torch.int64), Threat("l1", 0.5))
    assert attempt.losses is not None
    reached = [mark > 60 and mark <= 100 for mark in LOSS_MARKS]
    assert attempt.losses[0].isfinite().tolist() == [*reached, True]


def test_attacks_without_one_loss_throughout_tell_none() -> None:
    x, y = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0])
    assert run(FMN(steps=5), far_from_falling, x, y, Threat("linf", 1.0)).losses is None
    several = autoattack(version="rand", steps=3)
    assert run(several, far_from_falling, x, y, Threat("linf", 0.1)).losses is None
