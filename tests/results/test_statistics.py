"""Paired comparisons: published examples, scipy's numbers, and an interval derived a second time."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest

from advbench.results.statistics import PairedCounts, count_pairs, mcnemar_exact, tango_interval

Z = 1.959963984540054

# Two examples of Fagerland, Lydersen and Laake (2013, 2014; Statistical Analysis of Contingency Tables, 2017,
# chapter 8): airway hyper-responsiveness (Bentur et al. 2009) and complete response (Cavo et al. 2012).
AIRWAY = PairedCounts(both=1, only_first=1, only_second=7, n=21)
RESPONSE = PairedCounts(both=59, only_first=6, only_second=16, n=161)


@pytest.mark.parametrize(("pairs", "p"), [(AIRWAY, 0.0703), (RESPONSE, 0.0525)])
def test_mcnemars_exact_p_is_the_published_one(pairs: PairedCounts, p: float) -> None:
    assert pairs.p_value == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize(("pairs", "low", "high"), [(AIRWAY, -0.517, -0.026), (RESPONSE, -0.124, -0.0054)])
def test_tangos_interval_is_the_published_one(pairs: PairedCounts, low: float, high: float) -> None:
    assert pairs.interval == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("b", "c"), [*product(range(9), range(9)), (400, 350), (5000, 4700), (50_000, 50_400), (3, 1000)]
)
def test_mcnemars_exact_p_is_scipys_binomial_test(b: int, c: int) -> None:
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9)


def test_p_is_zero_only_below_the_smallest_float() -> None:
    assert mcnemar_exact(0, 1000) == pytest.approx(2.0**-999)
    assert mcnemar_exact(0, 10_000) == 0.0


def statistic(d: float, b: int, c: int, n: int) -> float:
    """Tango's statistic, with the likeliest probability found by a search instead of a formula."""

    def minus_log_likelihood(q: float) -> float:
        # Of an image that stands in the first alone, in the second alone, and of the others.
        cells = ((b, q + d), (c, q), (n - b - c, 1 - 2 * q - d))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    bounds = (max(0.0, -d), (1 - d) / 2)
    q = minimize_scalar(minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    return float((b - c - n * d) / math.sqrt(n * (2 * q + d * (1 - d))))


@pytest.mark.parametrize(("b", "c", "n"), [(1, 7, 21), (6, 16, 161), (40, 20, 160), (12, 2, 50), (5, 5, 30)])
def test_tangos_interval_is_where_the_score_test_with_a_searched_likelihood_turns(
    b: int, c: int, n: int
) -> None:
    middle = (b - c) / n
    low = brentq(lambda d: statistic(d, b, c, n) - Z, -0.999, middle - 1e-9)
    high = brentq(lambda d: statistic(d, b, c, n) + Z, middle + 1e-9, 0.999)
    assert tango_interval(b, c, n) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 1), (0, 0, 10), (10, 0, 10), (3, 1, 8), (0, 1, 10_000)])
def test_the_interval_holds_the_difference_stays_in_range_and_turns_round_with_the_sides(
    b: int, c: int, n: int
) -> None:
    low, high = tango_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert high - low > 0.0001
    assert tango_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-12)


def test_no_discordant_image_gives_the_closed_form() -> None:
    """With b = c = 0 the likeliest q is 0, and the test turns at n d^2 = z^2 d (1 - d)."""
    n = 100
    assert tango_interval(0, 0, n) == pytest.approx((-Z * Z / (n + Z * Z), Z * Z / (n + Z * Z)))


def test_pairs_are_counted_image_by_image() -> None:
    first = np.array([True, True, False, False, True])
    second = np.array([True, False, True, False, False])
    assert count_pairs(first, second) == PairedCounts(1, 2, 1, 5)
    assert count_pairs(first, second).difference == pytest.approx(0.2)


@pytest.mark.parametrize(("b", "c", "n"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_counts_have_no_interval(b: int, c: int, n: int) -> None:
    with pytest.raises(ValueError, match=r"b \+ c <= n"):
        tango_interval(b, c, n)


def test_negative_counts_have_no_p() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_different_images_cannot_be_paired(first: list[bool], second: list[bool]) -> None:
    with pytest.raises(ValueError, match="same images"):
        count_pairs(first, second)
