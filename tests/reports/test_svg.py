"""Charts as SVG: well-formed, their marks where the values are, and names that stay text."""

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from advbench.reports.charts import Dots, training_curves
from advbench.reports.svg import log_ticks, svg, ticks
from tests.reports.drawn import HISTORY, charts, climbed, whole_ladder


def test_stairs_have_a_corner_before_each_rise() -> None:
    curve = ET.fromstring(svg(climbed({"bpda": [1, 2, 4]}))).findall(".//{*}polyline")[-1]
    corners = [tuple(map(float, each.split(","))) for each in curve.attrib["points"].split()]
    assert len(corners) == 7
    assert all(one[0] == other[0] or one[1] == other[1] for one, other in pairwise(corners))


def test_a_legend_too_long_for_a_line_goes_on_in_the_next() -> None:
    ways = {f"a way of training with a long name {number}": HISTORY for number in range(3)}
    root = ET.fromstring(svg(training_curves(ways)[0]))
    names = [each for each in root.findall(".//{*}text") if each.get("class") == "legend"]
    assert len({each.attrib["y"] for each in names}) == 2
    assert float(root.attrib["viewBox"].split()[-1]) == 44 + 260 + 48 + 18


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 50, [1, 2, 5, 10, 20, 50]),
        (1, 4000, [1, 10, 100, 1000]),
        (0.5, 3, [0.5, 1, 2]),
        (8, 9, [8, 9]),
        (3, 3, [3]),
    ],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (1, 12, [2, 4, 6, 8, 10, 12]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@pytest.mark.parametrize("number", range(5))
def test_an_svg_is_well_formed_and_its_names_are_text(number: int) -> None:
    chart = charts()[number]
    root = ET.fromstring(svg(chart))
    text = " ".join(root.itertext())
    names = [name for name, _ in chart.rows] if isinstance(chart, Dots) else list(chart.lines)
    for name in names:
        assert name in text
    assert root.findall(".//{*}script") == []


def test_marks_lie_where_their_values_are() -> None:
    """The distance of two circles in the drawing is that of their values."""
    root = ET.fromstring(svg(whole_ladder()))
    circles = [float(each.attrib["cx"]) for each in root.findall(".//{*}circle")][
        1:
    ]  # the first is the legend's
    clean = [points[0].value for _, points in whole_ladder().rows]
    scale = (720 - 220 - 24) / 100
    assert circles == pytest.approx([220 + scale * value for value in clean], abs=0.06)
