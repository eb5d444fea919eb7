"""What charts show, and that they are drawn: as SVG for the page, by matplotlib where it is there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from advbench.errors import InputError
from advbench.reports import figures
from advbench.reports.charts import Chart, Curves, Dots, agreement, ladder, radius_curve, training_curves
from advbench.reports.figures import FIGURE_FORMATS, FigureFormat, draw, draw_gallery
from advbench.reports.pictures import Panel, Picture, amplified, to_pixels
from advbench.reports.steps import loss_by_steps, success_by_steps
from advbench.reports.style import Style
from advbench.reports.svg import log_ticks, svg, ticks
from advbench.results.records import LOSS_COLUMNS, LOSS_MARKS, Candidate, Rate, Row, Rung
from tests.reports.records import HOSTILE, NONE, ROUND, ROWS

FOUND = [
    Candidate(defense="round", substitute="identity", n=64, standing=3, agreement=0.91, rank=1),
    Candidate(defense="round", substitute=HOSTILE, n=64, standing=40, agreement=-0.1),
    Candidate(defense="round", substitute="skip", note="does not fit"),
]
HISTORY = [{"epoch": float(epoch), "loss": 2 / epoch, "accuracy": 1 - 1 / epoch} for epoch in range(1, 6)]


def whole_ladder() -> Dots:
    chart = ladder(ROWS)
    assert chart is not None
    return chart


def charts() -> list[Chart]:
    found = agreement(FOUND)
    assert found is not None
    many = climbed(*[{"shattered": [0, 1, 3], "bpda": [0, 1, 2]}] * 3)
    curves = training_curves({"apart": HISTORY, HOSTILE: HISTORY[:1]})
    return [whole_ladder(), found, *curves, climbed({"bpda": [0, 1, 3, 3, 7]}, {"bpda": [None, 200]}), many]


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


Passes = Mapping[str, Sequence[int | None]]
"""The gradient passes until each image fell on each rung; None for one that stands after the most of all."""


def climbed(*found: Passes) -> Curves:
    """The chart of rows whose images fell after so many gradient passes."""
    chart = success_by_steps([row_of(str(number), passes) for number, passes in enumerate(found)])
    assert chart is not None
    return chart


def row_of(name: str, found: Passes) -> tuple[Row, pd.DataFrame]:
    records = [
        {"rung": rung, "robust": each is None, "steps": max(filter(None, passes)) if each is None else each}
        for rung, passes in found.items()
        for each in passes
    ]
    rates = {cast("Rung", rung): Rate(passes.count(None), len(passes)) for rung, passes in found.items()}
    return replace(ROUND, defense=name, rates=rates), pd.DataFrame(records)


def test_success_rises_where_images_fell_and_goes_on_to_the_last_pass() -> None:
    chart = climbed({"shattered": [0, 40, 40, None], "bpda": [0, 3, 3, 7, None, 8, 3, 1]})
    assert list(chart.lines) == ["0 · BPDA"], "all that fell on the other cost as much as what stands"
    (line,) = chart.lines.values()
    assert line == [(0, 12.5), (1, 25), (3, 62.5), (7, 75), (8, 87.5)]
    assert (chart.stairs, chart.log) == (True, False)


def test_a_rung_on_which_nothing_falls_is_a_flat_line() -> None:
    rung = pd.DataFrame({"rung": "shattered", "robust": [True, True, False], "steps": [40, 40, 0]})
    chart = success_by_steps([(replace(ROUND, rates={"shattered": Rate(2, 3)}), rung)], Style(percent=False))
    assert chart is not None
    (line,) = chart.lines.values()
    assert [at for at, _ in line] == [0, 40]
    assert [share for _, share in line] == pytest.approx([1 / 3, 1 / 3])


def climbing(*curves: Sequence[float], ends: Sequence[float], steps: Sequence[int]) -> pd.DataFrame:
    """Records of the shattered rung with these losses at the marks that each image reached."""
    losses = [
        dict(zip(LOSS_COLUMNS, [*curve, *[np.nan] * (len(LOSS_MARKS) - len(curve)), end], strict=True))
        for curve, end in zip(curves, ends, strict=True)
    ]
    return pd.DataFrame(losses).assign(rung="shattered", steps=steps)


SHATTERED = replace(ROUND, rates={"shattered": Rate(1, 2)})


def test_the_loss_is_the_mean_of_images_and_stays_where_one_fell() -> None:
    records = climbing([0.0, 1.0, 2.0], [4.0], ends=[3.0, 6.0], steps=[5, 1])
    nothing = climbing([], ends=[np.nan], steps=[0])
    chart = loss_by_steps([(SHATTERED, pd.concat([records, nothing]))])
    assert chart is not None
    (line,) = chart.lines.values()
    assert line == [(1, 2.0), (2, 3.5), (4, 4.0), (6, 4.5)]
    assert (chart.stairs, chart.log) == (False, True)


def test_the_loss_ends_at_its_last_mark_where_passes_are_those_of_several_draws_or_attacks() -> None:
    draws = climbing([0.0, 1.0, 2.0], ends=[3.0], steps=[20 * 5])
    chart = loss_by_steps([(SHATTERED, draws)])
    assert chart is not None
    assert list(chart.lines.values()) == [[(1, 0.0), (2, 1.0), (4, 2.0)]]
    twice = climbing([0.0, 1.0, 2.0], ends=[3.0], steps=[4 + 3]).assign(rung="bpda")
    chart = loss_by_steps([(replace(ROUND, substitute="soft; identity"), twice)])
    assert chart is not None
    assert list(chart.lines.values()) == [[(1, 0.0), (2, 1.0), (4, 2.0)]]


def test_the_loss_begins_where_every_image_has_one() -> None:
    late = climbing([np.nan, np.nan, 1.0, 3.0], [np.nan, np.nan, np.nan, 5.0], ends=[3.0, 5.0], steps=[9, 9])
    fell_between = climbing([], ends=[1.0], steps=[7])
    chart = loss_by_steps([(SHATTERED, pd.concat([late, fell_between]))])
    assert chart is not None
    assert list(chart.lines.values()) == [[(8, 3.0), (10, 3.0)]]


def test_losses_that_no_attack_has_are_left_out() -> None:
    forged = climbing([0.0, 1e308], [1.0, np.inf], [5.0], ends=[2.0, 4.0, np.inf], steps=[2, 2, 2])
    chart = loss_by_steps([(SHATTERED, forged)])
    assert chart is not None
    assert list(chart.lines.values()) == [[(1, 0.5)]]


def test_attacks_that_tell_no_loss_have_no_curve() -> None:
    untold = climbing([], [], ends=[np.nan, np.nan], steps=[40, 40])
    assert loss_by_steps([(SHATTERED, untold)]) is None
    assert loss_by_steps([(SHATTERED, untold[:0])]) is None
    assert loss_by_steps([]) is None


def test_one_step_and_rungs_that_are_not_done_have_no_curve() -> None:
    assert success_by_steps([row_of("x", {"shattered": [1, 1, 0]})]) is None
    row, records = row_of("x", {"shattered": [1, 2, 0]})
    assert success_by_steps([(replace(row, rates={}), records)]) is None
    assert success_by_steps([]) is None


def test_long_attacks_are_drawn_along_powers_of_ten() -> None:
    chart = climbed({"bpda": [0, 1, 30, 400]})
    assert chart.log
    assert chart.lines == {"0 · BPDA": [(1, 25), (1, 50), (30, 75), (400, 100)]}


def test_of_too_many_curves_each_row_keeps_its_last_rung() -> None:
    rungs: Passes = {"shattered": [1, 2], "bpda": [1, 3]}
    assert len(climbed(*[rungs] * 3).lines) == 6
    many = climbed(*[rungs] * 8)
    assert list(many.lines) == [f"{number} · BPDA" for number in range(6)]
    assert many.note == "the first 6 of 8 rows"


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
    [(1, 50, [1, 2, 5, 10, 20, 50]), (1, 4000, [1, 10, 100, 1000]), (0.5, 3, [0.5, 1, 2])],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == expected


def test_training_curves_leave_out_what_was_not_measured() -> None:
    loss, accuracy = training_curves({"apart": HISTORY})
    assert list(loss.lines) == ["apart, loss"]
    assert list(accuracy.lines["apart, training"])[-1] == (5.0, 80.0)
    assert training_curves({}) == []


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


def pictures() -> list[Picture]:
    pixels = np.zeros((8, 8, 3), np.uint8)
    panels = [Panel(pixels, "clean", HOSTILE), Panel(pixels, "adversarial", "$a$ 3")]
    common = {"label": "3", "defense": "round", "attack": "pgd", "fooled": True}
    return [
        Picture(index=0, rung="bpda", panels=panels, **common),  # type: ignore[arg-type]  # a table of settings
        Picture(index=1, rung="shattered", panels=panels[:1], **common),  # type: ignore[arg-type]
    ]


DRAWINGS: dict[str, Callable[[FigureFormat], bytes]] = {
    "ladder": lambda form: draw(whole_ladder(), form),
    "curves": lambda form: draw(charts()[2], form),
    "stairs": lambda form: draw(charts()[4], form),
    "gallery": lambda form: draw_gallery(pictures(), form),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FIGURE_FORMATS)
@pytest.mark.parametrize("name", DRAWINGS)
def test_matplotlib_draws_each_figure_to_the_same_bytes(name: str, form: FigureFormat) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    drawn = DRAWINGS[name](form)
    assert drawn.startswith({"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[form])
    assert DRAWINGS[name](form) == drawn
    if form == "svg" and name == "ladder":
        assert HOSTILE in " ".join(ET.fromstring(drawn).itertext())


def test_without_matplotlib_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'advbench\[figures\]'"):
        figures.check_matplotlib()


def test_pixels_are_bytes_of_what_is_in_the_box() -> None:
    image = np.array([[[0.0, 0.5, 1.0, 1.7, np.nan]]])
    assert to_pixels(image)[0].tolist() == [[each] * 3 for each in (0, 128, 255, 255, 0)]
    assert to_pixels(np.zeros((3, 2, 4))).shape == (2, 4, 3)


def test_a_perturbation_is_shown_as_strong_as_it_can_be() -> None:
    delta = np.array([[[0.1, -0.1, 0.0, 0.05]]])
    pixels, factor = amplified(delta)
    assert factor == pytest.approx(5)
    assert pixels[0, :, 0].tolist() == [255, 0, 128, 191]
    assert amplified(np.zeros((1, 2, 2)))[1] == 1.0
