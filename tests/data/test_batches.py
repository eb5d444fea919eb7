"""Images come in the order asked for, and one batch at a time is in memory."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from advbench.data import batches as reading
from advbench.data.batches import Batch, batches, read_batch
from advbench.errors import DatasetError

Array = npt.NDArray[Any]


class Counting:
    """A data set of 10 images that counts how many were read, and how many are in memory at once."""

    def __init__(self) -> None:
        self.read, self.alive, self.peak = 0, 0, 0

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.full((1, 2, 2), index / 10)
        weakref.finalize(image, self._forget)
        self.read, self.alive = self.read + 1, self.alive + 1
        self.peak = max(self.peak, self.alive)
        return image, index % 3

    def _forget(self) -> None:
        self.alive -= 1


def test_batches_keep_the_order_and_the_size_that_was_asked_for() -> None:
    found = list(batches(Counting(), [9, 2, 2, 0, 5], 2))
    assert [each.indices.tolist() for each in found] == [[9, 2], [2, 0], [5]]
    assert [each.y.tolist() for each in found] == [[0, 2], [2, 0], [2]]
    torch.testing.assert_close(
        torch.cat([each.x[:, 0, 0, 0] for each in found]) * 10, torch.tensor([9.0, 2, 2, 0, 5])
    )
    assert {(each.x.dtype, each.y.dtype, each.indices.dtype) for each in found} == {
        (torch.float32, torch.int64, torch.int64)
    }


def test_one_batch_is_read_at_a_time() -> None:
    dataset = Counting()
    reader: Iterator[Batch] = batches(dataset, range(10), 3)
    assert dataset.read == 0
    next(reader)
    assert dataset.read == 3
    assert sum(1 for _ in reader) == 3
    assert dataset.peak == 3


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (torch.full((1, 2, 2), 1.001), "[0, 1]"),
        (torch.full((1, 2, 2), -0.001), "[0, 1]"),
        (torch.full((1, 2, 2), 200, dtype=torch.uint8), "[0, 1]"),
        (torch.full((1, 2, 2), torch.nan), "nan"),
        (torch.zeros(2, 2), "(2, 2)"),
        (np.zeros((1, 2, 2), dtype=np.float32), "ndarray"),
        (Image.new("L", (2, 2)), "Image"),
    ],
)
def test_images_that_are_no_pixels_are_refused(image: Any, expected: str) -> None:
    with pytest.raises(DatasetError) as caught:
        next(batches([(image, 0)], [0], 1))
    assert expected in str(caught.value)


def test_large_images_come_in_smaller_batches_where_they_are_only_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_COMFORTABLE", 3 * 16)
    images = TensorDataset(torch.rand(8, 1, 4, 4), torch.arange(8))
    sizes = [batch.indices.tolist() for batch in batches(images, range(8), 5)]
    assert sizes == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_an_image_or_a_batch_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    images = TensorDataset(torch.rand(8, 1, 4, 4), torch.arange(8))
    monkeypatch.setattr(reading, "LARGEST_BATCH", 4 * 16)
    with pytest.raises(DatasetError, match=r"5 images of the shape \(1, 4, 4\) .* a smaller --batch-size"):
        read_batch(images, range(5))
    assert len(read_batch(images, range(4)).x) == 4
    monkeypatch.setattr(reading, "LARGEST_IMAGE", 15)
    with pytest.raises(DatasetError, match=r"index 3 has the shape \(1, 4, 4\), 16 numbers.*--image-size"):
        read_batch(images, [3])


def test_a_large_image_of_another_shape_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LARGE", 20)
    images = [(torch.rand(1, 4, 4), 0), (torch.rand(1, 8, 8), 0), None]
    with pytest.raises(DatasetError, match=r"\(1, 4, 4\), and \(1, 8, 8\) at index 1"):
        read_batch(images, range(3))
