"""Draws that are keyed by image and pass."""

import pytest
import torch

from advbench import Draws
from advbench.draws.calls import Calls
from advbench.errors import DefenseError

INDICES = torch.tensor([7, 3, 100_000])


def begun(indices: torch.Tensor = INDICES) -> Calls:
    return Calls.begun(Draws(5, indices, "/shattered"))


def test_every_image_pass_and_draw_has_a_key_of_its_own() -> None:
    calls = begun()
    passes = [calls.advance(0, 3) for _ in range(4)]
    keys = torch.stack([draws.indices for draws in passes])
    assert len(set(keys.flatten().tolist())) == keys.numel()
    assert {(draws.seed, draws.name) for draws in passes} == {(5, "/shattered")}
    assert torch.equal(calls.advance(1, 3).indices, keys[0]), "each draw counts by itself; its name differs"
    assert int(keys.min()) >= 0
    assert int(keys.max()) < 2**62, "which is the key of a fixed seed"


def test_an_image_draws_alike_whatever_is_shown_beside_it() -> None:
    together, alone = begun(), begun(INDICES[1:2])
    one = [alone.advance(0, 1).indices[0] for _ in range(3)]
    assert together.advance(0, 3).indices[1] == one[0]
    together.take(torch.tensor([0, 2])).advance(0, 2)  # others pass meanwhile
    assert together.take(torch.tensor([2, 1])).advance(0, 2).indices[1] == one[1]
    assert together.take(slice(1, 3)).take(torch.tensor([True, False])).advance(0, 1).indices[0] == one[2]


def test_an_image_that_is_shown_twice_at_once_passes_once() -> None:
    calls = begun()
    twice = calls.take(torch.tensor([1, 1])).advance(0, 2).indices
    assert twice[0] == twice[1]
    assert calls.advance(0, 3).indices[1] == twice[0] + 1


def test_images_that_nobody_told_of_are_refused() -> None:
    with pytest.raises(
        DefenseError, match=r"was given 3 images and shows the model 2: .* model.showing\(rows\)"
    ):
        begun().advance(0, 2)
