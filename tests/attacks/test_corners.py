"""Windows at corners of the ball: what is written where, and that nothing else changes."""

import torch

from advbench import Draws, Threat
from advbench.attacks.corners import Corners

THREAT = Threat("linf", 0.2)
SIDES = [7, 4, 1]


def proposals(x: torch.Tensor) -> Corners:
    numbers = Draws(0, torch.arange(len(x))).uniform((len(SIDES), 2 + x.shape[1]))
    return Corners.of(x, THREAT, SIDES, numbers)


def test_each_proposal_is_one_square_of_its_side_with_a_bound_of_the_ball_in_each_colour() -> None:
    x = torch.rand(5, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    now = torch.full_like(x, -1.0)
    lower, upper = (THREAT.project(x + sign * 0.2, x) for sign in (-1.0, 1.0))
    for place, side in enumerate(SIDES):
        x_adv = now.clone()
        change = proposals(x).write(x_adv, place)
        written = x_adv != now
        kept = x_adv.clone()
        change.keep(kept, torch.arange(len(x)) % 2 == 0)
        assert kept[::2].equal(x_adv[::2])
        assert (kept[1::2] == -1.0).all(), "what is not taken is as it was"
        for image, inside, low, high in zip(x_adv, written, lower, upper, strict=True):
            rows, columns = inside[0].any(1).nonzero().flatten(), inside[0].any(0).nonzero().flatten()
            assert (len(rows), len(columns)) == (side, side)
            assert rows.tolist() == list(range(int(rows[0]), int(rows[0]) + side))
            for colour in range(3):
                assert inside[colour].equal(inside[0])
                values = image[colour][inside[colour]]
                assert values.equal(low[colour][inside[colour]]) or values.equal(high[colour][inside[colour]])


def test_some_of_the_images_get_the_proposals_that_they_get_among_all() -> None:
    x = torch.rand(6, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    which = torch.tensor([4, 1])
    whole, some = x.clone(), x[which]
    proposals(x).write(whole, 1)
    proposals(x).take(which).write(some, 1)
    assert some.equal(whole[which])
