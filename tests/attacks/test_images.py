"""The images that an attack is still busy with: whatever is taken of them belongs together."""

import pytest
import torch
from torch import Tensor

from advbench.attacks.images import Images

FIVE = Images(
    torch.tensor([7, 3, 9, 0, 4]),
    torch.arange(5.0).view(5, 1, 1, 1),
    torch.tensor([0, 1, 2, 3, 4]),
    torch.tensor([5, 6, 7, 8, 9]),
)


@pytest.mark.parametrize(
    ("which", "places"),
    [
        (torch.tensor([3, 1]), [3, 1]),
        (torch.tensor([True, False, False, False, True]), [0, 4]),
        (slice(1, 3), [1, 2]),
        (torch.tensor([2, 2]), [2, 2]),
        (torch.zeros(5, dtype=torch.bool), []),
        (slice(5, 9), []),
    ],
)
def test_rows_pixels_labels_and_rivals_are_taken_alike(which: Tensor | slice, places: list[int]) -> None:
    taken = FIVE.take(which)
    assert taken.rows.tolist() == [[7, 3, 9, 0, 4][each] for each in places]
    assert taken.x.shape == (len(places), 1, 1, 1)
    assert taken.x.flatten().tolist() == taken.y.tolist() == places
    assert (taken.rival - taken.y).tolist() == [5] * len(places)


def test_taking_twice_counts_within_what_was_taken() -> None:
    assert FIVE.take(slice(1, 5)).take(torch.tensor([0, 3])).rows.tolist() == [3, 4]
