"""How iterates are ranked where the smallest perturbation is wanted, and the search back to the image."""

import pytest
import torch
from torch import Tensor

from advbench import Threat
from advbench.attacks.best import NEVER, Best
from advbench.attacks.images import Images
from advbench.attacks.smallest import offer_smallest, search_back

THREAT = Threat("linf", 0.1)
EDGE = 0.4371


def above(x: Tensor) -> Tensor:
    """Two logits; class 1 where the only pixel lies above an edge."""
    z = x.flatten(1) - EDGE
    return torch.cat([-z, z], dim=1)


def images(*values: float) -> tuple[Images, Best]:
    x = torch.tensor(values).view(-1, 1, 1, 1)
    y = torch.zeros(len(values), dtype=torch.int64)
    return Images(torch.arange(len(values)), x, y, y), Best.nothing(above, x, NEVER)


def test_fitting_examples_rank_above_others_and_among_them_the_smaller_wins() -> None:
    some, best = images(*[0.4] * 4)
    x_adv = torch.tensor([0.45, 0.9, 0.41, torch.nan]).view(-1, 1, 1, 1)
    fell = offer_smallest(best, some, x_adv, above(x_adv), THREAT)
    assert fell.tolist() == [True, True, False, False], "NaN fools nobody"
    assert best.rank.tolist() == [2, 1, 0, 0]
    torch.testing.assert_close(best.loss[:3], torch.tensor([-0.05, -0.5, 2 * (0.41 - EDGE)]))
    offer_smallest(best, some, x_adv.new_tensor([0.5, 0.5, 0.44, 0.44]).view_as(x_adv), above(x_adv), THREAT)
    torch.testing.assert_close(best.x_adv.flatten(), torch.tensor([0.45, 0.5, 0.41, 0.4]))


@pytest.mark.parametrize("found", [0.45, 0.8, 1.0])
def test_the_search_ends_within_a_thousandth_of_the_boundary_and_still_fools(found: float) -> None:
    some, best = images(0.4)
    x_adv = torch.full((1, 1, 1, 1), found)
    offer_smallest(best, some, x_adv, above(x_adv), THREAT)
    search_back(above, some, THREAT, best)
    assert EDGE < best.x_adv.item() <= EDGE + (found - 0.4) * 2.0**-10 + 1e-6
    assert best.queries.tolist() == [11], "one to find it, ten to halve"


def test_only_images_with_an_example_that_has_not_reached_its_goal_are_searched() -> None:
    some, best = images(0.4, 0.4, 0.4)
    best.goal = 2
    x_adv = torch.tensor([0.45, 0.9, 0.41]).view(-1, 1, 1, 1)
    offer_smallest(best, some, x_adv, above(x_adv), THREAT)
    search_back(above, some, THREAT, best)
    assert best.x_adv[[0, 2]].flatten().tolist() == x_adv[[0, 2]].flatten().tolist()
    assert best.x_adv[1].item() < 0.5
    assert best.queries.tolist()[::2] == [1, 1]


def test_where_nothing_was_found_the_model_is_not_asked() -> None:
    def never(x: Tensor) -> Tensor:
        raise AssertionError(x)

    some, best = images(0.4, 0.2)
    search_back(never, some, THREAT, best)
    assert best.queries.tolist() == [0, 0]
