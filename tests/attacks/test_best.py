"""The best iterate of each image: what replaces it, what an image costs, and when it is settled."""

from typing import Any

import pytest
import torch
from torch import Tensor

from advbench import DefendedModel, Placement
from advbench.attacks.best import LATE, NEVER, Best
from advbench.defenses import Noise
from advbench.results.records import LOSS_MARKS

NAN, INF = torch.nan, torch.inf


def pixels(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def nothing(n: int, goal: int = NEVER) -> Best:
    return Best.nothing(lambda x: x.flatten(1), torch.zeros(n, 1, 1, 1), goal)


def offer(best: Best, value: float, rank: int, loss: float, grad: float | None = None) -> None:
    """One iterate for an only image."""
    slope = None if grad is None else pixels(grad)
    best.offer(torch.tensor([0]), pixels(value), torch.tensor([rank]), torch.tensor([loss]), slope)


@pytest.mark.parametrize(
    ("offers", "kept"),
    [
        ([], 0),
        ([(0, -5.0)], 1),
        ([(0, -5.0), (0, -4.0), (0, -4.5)], 2),
        ([(0, 9.0), (1, -9.0), (0, 99.0)], 2),
        ([(0, 1.0), (0, 1.0)], 1),
        ([(0, NAN)], 0),
        ([(0, -INF)], 0),
        ([(0, 1.0), (0, NAN), (0, INF), (0, INF)], 3),
        ([(1, NAN)], 1),
        ([(1, NAN), (1, -3.0)], 2),
        ([(1, NAN), (1, NAN)], 1),
        ([(1, NAN), (0, 7.0)], 1),
    ],
)
def test_rank_comes_first_then_loss_and_the_earlier_of_two_that_are_equal(
    offers: list[tuple[int, float]], kept: int
) -> None:
    best = nothing(1)
    for number, (rank, loss) in enumerate(offers, 1):
        offer(best, number / 10.0, rank, loss)
    assert best.x_adv.item() == pytest.approx(kept / 10.0)
    assert best.queries.tolist() == [len(offers)]
    assert best.steps.tolist() == [0]


def test_a_settled_image_keeps_its_result_and_costs_nothing_more() -> None:
    best = nothing(3, goal=1)
    rows = torch.tensor([2, 0])
    best.offer(rows, pixels(0.1, 0.2), torch.tensor([1, 0]), torch.tensor([1.0, 1.0]), pixels(1.0, 1.0))
    best.offer(rows, pixels(0.3, 0.4), torch.tensor([1, 1]), torch.tensor([9.0, 9.0]), pixels(1.0, 1.0))
    best.book(torch.arange(3), pixels(1.0, 1.0, 1.0))
    torch.testing.assert_close(best.x_adv, pixels(0.4, 0.0, 0.1))
    assert best.queries.tolist() == [2, 1, 1]
    assert best.steps.tolist() == [2, 1, 1]


def test_a_random_defense_settles_no_image() -> None:
    noise: Any = Noise(sigma=0.1)
    model = DefendedModel(torch.nn.Flatten(), [Placement(noise)])
    best = Best.nothing(model, torch.zeros(1, 1, 1, 1), goal=1)
    offer(best, 0.1, 1, 1.0)
    offer(best, 0.2, 1, 2.0)
    assert best.x_adv.item() == pytest.approx(0.2)
    assert best.still_wanted(torch.tensor([0])) is None


@pytest.mark.parametrize(
    ("slopes", "flat"),
    [([], True), ([0.0], True), ([NAN, INF, 0.0], True), ([0.0, 1e-30], False), ([2.0, NAN], False)],
)
def test_flat_is_an_image_that_met_no_gradient_to_follow(slopes: list[float], flat: bool) -> None:
    best = nothing(1)
    for slope in slopes:
        offer(best, 0.0, 0, 0.0, grad=slope)
    assert best.flat.tolist() == [flat]


@pytest.mark.parametrize(
    ("losses", "gain"),
    [
        ([0.0] * 20, 0.0),
        ([*range(21)], LATE / 20),
        ([*range(11), *[5.0] * 10], 0.0),
        ([0.0] * 11 + [8.0], 1.0),
        ([*range(5)], NAN),
    ],
)
def test_the_late_gain_is_the_share_of_the_rise_that_came_in_the_last_steps(
    losses: list[float], gain: float
) -> None:
    best = nothing(1)
    for loss in losses:
        offer(best, 0.0, 0, float(loss), grad=1.0)
    assert best.late_gain.item() == pytest.approx(gain, nan_ok=True)


def test_losses_are_told_at_powers_of_two_and_now_and_minus_infinity_is_none() -> None:
    best = nothing(1)
    assert best.losses.isnan().all()
    for step in range(1, 6):
        offer(best, 0.0, 0, float(step), grad=1.0)
    offer(best, 0.0, 0, 7.5)
    meant = [1.0, 2.0, 4.0, *[NAN] * (len(LOSS_MARKS) - 3), 7.5]
    torch.testing.assert_close(best.losses[0], torch.tensor(meant), equal_nan=True)


@pytest.mark.parametrize(
    ("n", "fallen", "wanted"),
    [
        (4, 4, []),
        (4, 0, None),
        (8, 7, None),
        (9, 1, [1, 2, 3, 4, 5, 6, 7, 8]),
        (9, 8, [8, 0, 1, 2, 3, 4, 5, 6]),
        (20, 10, [*range(10, 20), *range(6)]),
    ],
)
def test_unsettled_images_go_on_and_so_many_others_as_fill_a_multiple_of_eight(
    n: int, fallen: int, wanted: list[int] | None
) -> None:
    best = nothing(n, goal=1)
    rows = torch.arange(fallen)
    best.offer(rows, best.x_adv[rows], torch.ones_like(rows), torch.zeros(fallen))
    found = best.still_wanted(torch.arange(n))
    assert (None if found is None else found.tolist()) == wanted


def test_a_model_whose_batches_are_not_filled_up_is_shown_unsettled_images_alone() -> None:
    model = DefendedModel(torch.nn.Flatten(), ())
    best = Best.nothing(model, torch.zeros(9, 1, 1, 1), goal=1)
    rows = torch.arange(6)
    best.offer(rows, best.x_adv[rows], torch.ones_like(rows), torch.zeros(6))
    wanted = best.still_wanted(torch.arange(9))
    assert wanted is not None
    assert wanted.tolist() == [6, 7, 8]


def test_a_batch_without_images_stays_one() -> None:
    best = nothing(0)
    none = torch.arange(0)
    best.offer(none, pixels(), none, torch.zeros(0), pixels())
    assert best.losses.shape == (0, len(LOSS_MARKS) + 1)
    assert best.still_wanted(none) is not None
