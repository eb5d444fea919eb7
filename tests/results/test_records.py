"""Records: intervals are scipy's, accuracies are fractions, and samples keep their types."""

from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import binomtest

from advbench.results.records import (
    ASKABLE,
    LADDER,
    LOSS_COLUMNS,
    LOSS_MARKS,
    RUNGS,
    SAMPLE_TYPES,
    Rate,
    Row,
    Rung,
    join_samples,
    wilson_interval,
)
from advbench.results.statistics import PairedCounts


@pytest.mark.parametrize(
    ("count", "n"), [(0, 1), (1, 1), (0, 10), (10, 10), (3, 7), (359, 360), (9889, 10_000)]
)
def test_the_interval_is_scipys_wilson_interval(count: int, n: int) -> None:
    expected = binomtest(count, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("count", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_an_interval_of_impossible_counts_is_refused(count: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= count <= n"):
        wilson_interval(count, n)


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_an_interval_lies_in_the_unit_holds_the_rate_and_mirrors(n: int) -> None:
    for count in range(0, n + 1, max(1, n // 7)):
        low, high = wilson_interval(count, n)
        assert 0.0 <= low <= count / n <= high <= 1.0
        assert wilson_interval(n - count, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    assert wilson_interval(0, n).low == 0.0
    assert wilson_interval(n, n).high == 1.0


def test_an_interval_is_wider_for_more_deviations_and_narrower_for_more_images() -> None:
    widths = [high - low for low, high in (wilson_interval(3, 10, z) for z in (1.0, 1.96, 3.0))]
    assert widths == sorted(widths)
    assert wilson_interval(3, 10, 0.0) == pytest.approx((0.3, 0.3))
    low, high = wilson_interval(300, 1000)
    assert high - low < widths[1] / 5


ROW = Row(model="m", dataset="d", n=10, defense="round", norm="linf", eps="0.1", attack="pgd", rates={})


@pytest.mark.parametrize(
    ("rates", "gap"),
    [
        ({"shattered": Rate(8, 10), "bpda": Rate(1, 10)}, 0.7),
        ({"shattered": Rate(1, 10), "bpda": Rate(8, 10)}, -0.7),
        ({"shattered": Rate(1, 10)}, None),
        ({"bpda": Rate(1, 10)}, None),
        ({}, None),
    ],
)
def test_the_gap_is_what_bpda_takes_from_the_shattered_rung(
    rates: dict[Rung, Rate], gap: float | None
) -> None:
    found = replace(ROW, rates=rates).masking_gap
    assert found == (None if gap is None else pytest.approx(gap))


def test_the_gap_has_an_interval_where_its_rungs_were_compared_in_pairs() -> None:
    pairs = PairedCounts(1, 7, 0, 10)
    assert replace(ROW, pairs={"bpda": pairs}).masking_gap_interval == pairs.interval
    assert replace(ROW, pairs={"static": pairs}).masking_gap_interval is None


def test_joined_samples_keep_their_order_and_have_the_types_of_their_columns() -> None:
    zeros = {"str": "x", "int64": 0, "bool": True, "float64": 0.5}
    part = pd.DataFrame([{name: zeros[kind] for name, kind in SAMPLE_TYPES.items()}] * 2)
    parts = [part.assign(index=[7, 3]), join_samples([]), part.assign(index=[5, 1], robust=False)]
    joined = join_samples(parts)
    assert joined["index"].tolist() == [7, 3, 5, 1]
    assert joined.index.tolist() == [0, 1, 2, 3]
    assert joined["robust"].tolist() == [True, True, False, False]
    for found in (joined, join_samples([]), join_samples([join_samples([])])):
        empty = pd.DataFrame(columns=list(SAMPLE_TYPES)).astype(dict(SAMPLE_TYPES))
        assert found.dtypes.to_dict() == empty.dtypes.to_dict()


def test_the_ladder_is_all_rungs_but_the_clean_one_and_losses_are_kept_at_powers_of_two() -> None:
    assert ("clean", *ASKABLE) == RUNGS
    assert set(ASKABLE) - set(LADDER) == {"label_only"}
    assert [*LOSS_MARKS] == [2**k for k in range(11)]
    assert (*(f"loss_{mark}" for mark in LOSS_MARKS), "loss_end") == LOSS_COLUMNS
