"""Augmented images are windows of the padded ones, each by draws of its own."""

import pytest
import torch
import torch.nn.functional as F

from advbench.draws.draws import Draws
from advbench.training.augment import augmented
from advbench.training.recipe import Augment


def test_crops_are_windows_of_the_padded_image_and_half_are_mirrored() -> None:
    x = torch.rand(400, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    draws = Draws(0, torch.arange(400))
    views = augmented(x, draws, "crop-flip")
    padded = F.pad(x, (2, 2, 2, 2))
    windows = [padded[:, :, top : top + 16, left : left + 16] for top in range(5) for left in range(5)]
    windows += [each.flip(3) for each in windows]
    match = torch.stack([(each == views).flatten(1).all(1) for each in windows])
    assert bool((match.sum(0) == 1).all())
    counts = match.sum(1)
    assert int(counts.min()) > 0
    assert 150 < int(counts[25:].sum()) < 250
    assert torch.equal(augmented(x[7:9], Draws(0, torch.arange(7, 9)), "crop-flip"), views[7:9])
    assert augmented(x, draws, "none") is x
    assert not any(
        torch.equal(each, view) for each, view in zip(x.flip(3), augmented(x, draws, "crop"), strict=True)
    )


@pytest.mark.parametrize(("shape", "room"), [((4, 4), 1), ((8, 24), 1), ((32, 32), 4), ((7, 1), 1)])
def test_an_image_moves_by_an_eighth_of_its_side_at_most_and_by_a_pixel_at_least(
    shape: tuple[int, int], room: int
) -> None:
    """A single lit pixel in the middle is where it was moved to, or outside."""
    h, w = shape
    x = torch.zeros(200, 1, h, w)
    x[:, 0, h // 2, w // 2] = 1.0
    views = augmented(x, Draws(3, torch.arange(200)), "crop")
    assert views.shape == x.shape
    rows = {int(view.flatten().argmax()) // w - h // 2 for view in views if view.sum() > 0}
    assert rows <= set(range(-room, room + 1))
    assert min(rows) < 0 < max(rows)


@pytest.mark.parametrize("augment", ["none", "crop", "crop-flip"])
def test_an_images_view_is_its_own_whatever_lies_beside_it_and_is_another_in_the_next_epoch(
    augment: Augment,
) -> None:
    x, indices = torch.rand(6, 3, 16, 16), torch.tensor([9, 4, 7, 1, 0, 30])
    whole = augmented(x, Draws(0, indices).stream("augment/0"), augment)
    turned = augmented(x.flip(0), Draws(0, indices.flip(0)).stream("augment/0"), augment)
    assert torch.equal(turned.flip(0), whole)
    alone = augmented(x[2:3], Draws(0, indices[2:3]).stream("augment/0"), augment)
    assert torch.equal(alone, whole[2:3])
    later = augmented(x, Draws(0, indices).stream("augment/1"), augment)
    assert torch.equal(later, whole) is (augment == "none")
