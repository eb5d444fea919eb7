"""What a random search keeps: better proposals, until an image is settled, and what they cost."""

import torch
from torch import Tensor

from advbench.attacks.best import Best
from advbench.attacks.search import Search


def begun(count: int) -> tuple[Search, Best]:
    x = torch.zeros(count, 1, 1, 1)
    best = Best.nothing(lambda x: x.flatten(1), x, goal=1)
    return Search.begun(best, x, torch.zeros(count, dtype=torch.int64)), best


def images(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def test_a_higher_rank_is_taken_and_at_the_same_rank_a_higher_loss() -> None:
    search, best = begun(4)
    search.offer(images(1, 1, 1, 1), torch.tensor([0, 0, 0, 1]), torch.tensor([-2.0, -2.0, torch.nan, 0.5]))
    search.offer(images(2, 2, 2, 2), torch.tensor([0, 0, 0, 1]), torch.tensor([-1.0, -3.0, -9.0, 0.9]))
    search.note()
    assert best.x_adv.flatten().tolist() == [2.0, 1.0, 2.0, 1.0], "a settled image stays as it is"
    assert best.loss.tolist() == [-1.0, -2.0, -9.0, 0.5]
    assert best.queries.tolist() == [2, 2, 2, 1]


def test_what_leaves_is_noted_once() -> None:
    search, best = begun(20)
    search.offer(images(*[1.0] * 20), (torch.arange(20) < 13).long(), torch.zeros(20))
    wanted = search.still_wanted()
    assert wanted is not None
    assert set(wanted.tolist()) >= set(range(13, 20))
    assert len(wanted) == 8
    search.note()
    rest = search.take(wanted)
    rest.offer(images(*[2.0] * 8), torch.ones(8, dtype=torch.int64), torch.ones(8))
    rest.note()
    search.note()
    assert best.queries.tolist() == [1] * 13 + [2] * 7
    left = rest.still_wanted()
    assert left is not None
    assert len(left) == 0
