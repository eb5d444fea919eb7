"""What charts show: every rate with its interval, and what is left out said as such."""

from dataclasses import replace

import pytest

from advbench.reports.charts import agreement, ladder, radius_curve, training_curves
from advbench.reports.style import Style
from advbench.results.records import Rate
from tests.reports.drawn import FOUND, HISTORY, whole_ladder
from tests.reports.records import NONE, ROUND, ROWS


def test_the_ladder_has_every_rate_with_its_interval() -> None:
    name, points = whole_ladder().rows[1]
    assert name == "round"
    assert [each.kind for each in points] == ["clean", "shattered", "BPDA"]
    low, high = ROUND.rates["bpda"].interval
    assert (points[2].value, points[2].low) == (0.0, 100 * low)
    assert points[2].high == pytest.approx(100 * high)
    fractions = ladder(ROWS, Style(percent=False))
    assert fractions is not None
    assert fractions.limits[1] == 1
    assert fractions.rows[0][1][0].value == 0.99


def test_there_is_no_ladder_without_numbers_and_no_agreement_without_a_search() -> None:
    assert ladder([replace(NONE, rates={}, error="it broke")]) is None
    assert agreement([]) is None
    assert agreement(FOUND[2:]) is None


def test_a_figure_of_many_rows_says_how_many_are_left_out() -> None:
    chart = ladder([replace(ROUND, defense=str(number)) for number in range(50)])
    assert chart is not None
    assert (len(chart.rows), chart.note) == (40, "the first 40 of 50 rows")


def test_a_curve_against_the_radius_takes_the_last_rung_of_three_radii_or_more() -> None:
    at = [replace(ROUND, eps=eps, rates={**ROUND.rates, "bpda": Rate(count, 200)})
          for eps, count in (("8/255", 10), ("2/255", 100), ("4/255", 50), ("inf", 0))]  # fmt: skip
    chart = radius_curve([*at, NONE, replace(NONE, eps="2/255")])
    assert chart is not None
    assert chart.lines == {"round": [(2 / 255, 50.0), (4 / 255, 25.0), (8 / 255, 5.0)]}
    assert radius_curve(at[:2]) is None


def test_training_curves_leave_out_what_was_not_measured() -> None:
    loss, accuracy = training_curves({"apart": HISTORY})
    assert list(loss.lines) == ["apart, loss"]
    assert list(accuracy.lines["apart, training"])[-1] == (5.0, 80.0)
    assert training_curves({}) == []
