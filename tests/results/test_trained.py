"""Accuracies of trained models: fractions of all judgements, with the interval of the images alone."""

import pytest

from advbench.results.records import wilson_interval
from advbench.results.statistics import PairedCounts
from advbench.results.trained import Measured, Paired


def measured(n: int, passes: int, count: int) -> Measured:
    return Measured(model="plain", measure="clean", setting="", n=n, passes=passes, count=count)


@pytest.mark.parametrize(
    ("n", "passes", "count", "accuracy", "images"),
    [
        (200, 1, 150, 0.75, 150),
        (200, 5, 600, 0.6, 120),
        (3, 7, 10, 10 / 21, 1),
        (1, 1, 0, 0.0, 0),
        (4, 2, 8, 1.0, 4),
    ],
)
def test_draws_make_the_accuracy_and_images_alone_the_interval(
    n: int, passes: int, count: int, accuracy: float, images: int
) -> None:
    found = measured(n, passes, count)
    assert found.accuracy == pytest.approx(accuracy)
    assert found.interval == wilson_interval(images, n)
    assert found.interval == measured(n, 1, images).interval, "several draws make no image more"


@pytest.mark.parametrize("counts", [(140, 20, 10), (0, 7, 7), (5, 0, 5), (0, 0, 0)])
def test_pairs_differ_by_what_one_alone_gets_right(counts: tuple[int, int, int]) -> None:
    both, only_one, only_other = counts
    pair = Paired("apart", "plain", 200, both, only_one, only_other)
    swapped = Paired("plain", "apart", 200, both, only_other, only_one)
    assert pair.difference == (only_one - only_other) / 200 == -swapped.difference
    assert pair.interval == PairedCounts(both, only_one, only_other, 200).interval
    assert pair.interval.low <= pair.difference <= pair.interval.high
    assert swapped.interval == pytest.approx((-pair.interval.high, -pair.interval.low), abs=1e-9)
