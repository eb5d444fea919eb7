"""Attacks on a model that may refuse go label after label, and give every image back in its place."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import Attempt, Detector, Draws, Placement, Threat
from advbench.data.batches import Batch
from advbench.defended.model import DefendedModel
from advbench.errors import InputError
from advbench.evaluation.by_label import alike, attempted

THREAT = Threat("linf", 0.1)
X, Y = torch.rand(5, 1, 2, 2), torch.tensor([1, 0, 1, 2, 0])


def brightness(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def defended(*placements: Placement) -> DefendedModel:
    torch.manual_seed(0)
    return DefendedModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), placements)


class Watching:
    """Marks each image by its label and its dataset index, and keeps what it was called with."""

    def __init__(self) -> None:
        self.labels: list[list[int]] = []

    def __call__(self, model: Any, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        self.labels.append(y.tolist())
        zero = torch.zeros_like(y)
        return Attempt(x + y.view(-1, 1, 1, 1), zero, draws.indices.clone(), zero.bool())


def test_without_a_detector_a_batch_stays_together() -> None:
    attack = Watching()
    attempt = attempted(attack, defended(), (X, Y), THREAT, Draws(0, torch.arange(5)), name="watching")
    assert attack.labels == [Y.tolist()]
    assert attempt.queries.tolist() == [0, 1, 2, 3, 4]


def test_with_a_detector_labels_go_one_after_another_and_come_back_in_order() -> None:
    attack, detector = Watching(), Placement(Detector(brightness))
    model = defended(detector)
    attempt = attempted(attack, model, (X, Y), THREAT, Draws(0, torch.arange(5)), name="watching")
    assert attack.labels == [[0, 0], [1, 1], [2]]
    assert torch.allclose(attempt.x_adv, X + Y.view(-1, 1, 1, 1))
    assert attempt.queries.tolist() == [0, 1, 2, 3, 4], "draws belong to the images"


def test_something_else_than_an_attempt_is_refused_by_the_attack_s_name() -> None:
    with pytest.raises(InputError, match=r"attack odd must return an advbench\.Attempt, got Tensor"):
        attempted(lambda *_: X, defended(), (X, Y), THREAT, Draws(0, torch.arange(5)), name="odd")  # type: ignore[arg-type]


def test_a_batch_is_split_by_label_only_where_labels_are_to_stay_apart() -> None:
    batch = Batch(torch.arange(5), X, Y)
    assert [len(part.y) for part in alike(batch, apart=False)] == [5]
    assert [part.indices.tolist() for part in alike(batch, apart=True)] == [[1, 4], [0, 2], [3]]
