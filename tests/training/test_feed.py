"""The batches of an epoch are a function of the seed and the epoch alone, however they are read."""

import dataclasses

import pytest
import torch

from advbench.training.feed import batches_of_epoch, plan_of_epoch
from advbench.training.processes import Share
from advbench.training.recipe import Perturbation, Recipe
from tests.training.small_trainings import images


@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_has_every_image_once_in_an_order_of_its_own(drop_last: bool) -> None:
    recipe = Recipe(batch_size=16, drop_last=drop_last)
    plans = [plan_of_epoch(range(7, 57), recipe, epoch) for epoch in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    seen = sorted(each for batch in plans[0] for each in batch)
    assert len(set(seen)) == len(seen) == (48 if drop_last else 50)
    assert set(seen) <= set(range(7, 57))


def test_plain_and_apart_see_the_same_batches_and_processes_share_both_passes() -> None:
    plain = Recipe(batch_size=16, drop_last=True, augment="crop")
    apart = dataclasses.replace(plain, apart=Perturbation(groups=2, ratio=0.5))
    whole = list(batches_of_epoch(images(), plain, 0, 0, Share()))
    shares = [list(batches_of_epoch(images(), apart, 0, 0, Share(rank, 2))) for rank in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        first = torch.cat([part.indices[:4] for part in parts])
        assert torch.equal(first, batch.indices[:8])
        both = {int(index): x for part in parts for index, x in zip(part.indices, part.x, strict=True)}
        for index, x in zip(batch.indices, batch.x, strict=True):
            assert torch.equal(both[int(index)], x)


def test_other_processes_read_the_same_batches() -> None:
    recipe = Recipe(batch_size=16, augment="crop-flip")
    alone = list(batches_of_epoch(images(), recipe, 2, 1, Share()))
    helped = list(batches_of_epoch(dataclasses.replace(images(), workers=1), recipe, 2, 1, Share()))
    assert len(alone) == 3
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))
