"""Images in a declared batch."""

import pytest
import torch

from advbench.defended.mates import Mates
from advbench.errors import DefenseError


def test_changed_images_stand_in_their_places() -> None:
    x, rows = torch.zeros(4, 1, 1, 1), torch.tensor([2, 0])
    batch = Mates(x, rows).with_images(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
    assert batch.flatten().tolist() == [2.0, 0.0, 1.0, 0.0]
    assert x.abs().sum() == 0.0


def test_a_part_of_them_is_refused() -> None:
    mates = Mates(torch.zeros(4, 1, 1, 1), torch.tensor([2, 0]))
    with pytest.raises(DefenseError, match=r"2 images of its batch together, and the attack shows 1"):
        mates.with_images(torch.zeros(1, 1, 1, 1))
