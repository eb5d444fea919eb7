"""The classes that targeted attacks drive an image to: the most likely ones first, and never the label."""

import pytest
import torch
from torch import Tensor

from advbench.attacks.rivals import rivals

LOGITS = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 5.5, 9.0], [1.0, 2.0, 3.0, 4.0]])
LABELS = torch.tensor([0, 1, 3])


def known(x: Tensor) -> Tensor:
    assert not torch.is_grad_enabled()
    return LOGITS[: len(x)]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [[2, 3, 2]]),
        (2, [[2, 3, 2], [1, 2, 1]]),
        (3, [[2, 3, 2], [1, 2, 1], [3, 0, 0]]),
        (9, [[2, 3, 2], [1, 2, 1], [3, 0, 0]]),
    ],
)
def test_the_most_likely_other_classes_come_in_their_order(most: int, expected: list[list[int]]) -> None:
    found = rivals(known, torch.zeros(3, 1, 1, 1), LABELS, most)
    assert [each.tolist() for each in found] == expected


@pytest.mark.parametrize("logits", [[-torch.inf, 0.0, -torch.inf], [1.0, 1.0, 1.0], [torch.inf, 0.0, -9.0]])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_the_label_is_no_rival_whatever_the_logits(logits: list[float], label: int) -> None:
    found = rivals(lambda _: torch.tensor([logits]), torch.zeros(1, 1, 1, 1), torch.tensor([label]), 9)
    assert sorted(int(each) for each in found) == [each for each in range(3) if each != label]
