"""Which images are taken: as many of every class as there are, the same for a seed, and all where few."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from advbench.data.sampling import balanced_sample

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


def test_an_order_of_the_data_set_by_class_does_not_show() -> None:
    labels = np.repeat([0, 1], [990, 10])
    sample = balanced_sample(labels, 30, 0)
    assert np.bincount(labels[sample]).tolist() == [20, 10], "one class is used up"
    assert max(sample) >= 990
    assert balanced_sample(labels[:0], 5, 0) == []
