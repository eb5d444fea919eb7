"""Which images are taken, in which order, and how many are in memory at a time."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from advbench.data.batches import Batch, batches
from advbench.data.sampling import balanced_sample
from advbench.errors import DatasetError

Array = npt.NDArray[Any]

label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=40).map(np.array)


@settings(deadline=None, max_examples=200)
@given(labels=label_lists, count=st.integers(0, 50), seed=st.integers(0, 2**32 - 1))
def test_a_sample_is_balanced_as_far_as_the_classes_reach(labels: Array, count: int, seed: int) -> None:
    sample = balanced_sample(labels, count, seed)
    assert sample == sorted(set(sample))
    assert len(sample) == min(count, len(labels))
    there = np.bincount(labels, minlength=5)
    taken = np.bincount(labels[sample], minlength=5) if sample else np.zeros(5, dtype=np.int64)
    assert (taken <= there).all()
    assert all(taken[k] >= taken.max() - 1 for k in range(5) if taken[k] < there[k])


@settings(deadline=None, max_examples=200)
@given(labels=label_lists, counts=st.tuples(st.integers(0, 50), st.integers(0, 50)), seed=st.integers(0, 99))
def test_a_smaller_sample_is_part_of_a_larger(labels: Array, counts: tuple[int, int], seed: int) -> None:
    fewer, more = (balanced_sample(labels, count, seed) for count in sorted(counts))
    assert set(fewer) <= set(more)


def test_a_sample_depends_on_its_seed_alone() -> None:
    labels = np.repeat(np.arange(5), 20)
    samples = [balanced_sample(labels, 10, seed) for seed in (0, 0, 1, 2)]
    assert samples[0] == samples[1]
    assert len({tuple(sample) for sample in samples}) == 3


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
