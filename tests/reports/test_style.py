"""Columns, order and digits: what is asked for, and nothing else."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from advbench.errors import SpecError
from advbench.reports import render
from advbench.reports.formats import Format
from advbench.reports.style import COLUMNS, PLAIN, Style, arranged, style_of
from advbench.results.records import RUNGS
from tests.reports.records import NAMED, NONE, RANDOM, ROUND, ROWS


def header(style: Style) -> str:
    return next(line for line in render(ROWS, "markdown", None, style).splitlines() if line.startswith("|"))


def defenses(form: Format, style: Style) -> list[str]:
    text = render(ROWS, form, None, style)
    if form == "csv":
        return [row["defense"] for row in csv.DictReader(io.StringIO(text))]
    found = [row.defense for row in sorted(ROWS[:3], key=lambda row: text.index(f"| {row.defense} |"))]
    return [*found]


def test_columns_come_as_they_are_asked_for_names_first() -> None:
    assert (
        header(Style(columns=("bpda", "attack", "clean", "defense"))) == "| attack | defense | BPDA | clean |"
    )


def test_what_is_no_column_and_differs_is_not_said_to_hold_for_all() -> None:
    rows = [NONE, replace(ROUND, attack="fgsm")]
    text = render(rows, "markdown", None, Style(columns=("defense", "clean")))
    assert "attack" not in text.splitlines()[0]
    assert "model: net" in text.splitlines()[0]
    assert "NOTE: the rows differ in attack, which has no column." in text


def test_a_column_that_no_row_fills_is_dashes() -> None:
    lines = render(ROWS, "markdown", None, Style(columns=("defense", "worst"))).splitlines()
    assert lines[4] == "| none | – |"


def test_every_rung_is_a_column() -> None:
    assert set(RUNGS) < set(COLUMNS)
    assert header(Style(columns=("defense", *RUNGS))).count("|") == len(RUNGS) + 2


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("bpda", [ROUND, RANDOM, NAMED, NONE]),
        ("-bpda", [NAMED, RANDOM, ROUND, NONE]),
        ("gap", [RANDOM, NAMED, ROUND, NONE]),
        ("defense", [NAMED, NONE, RANDOM, ROUND]),
        ("-shattered", [ROUND, NAMED, RANDOM, NONE]),
        ("", list(ROWS)),
    ],
)
def test_rows_are_sorted_with_missing_values_last(sort: str, expected: list[Any]) -> None:
    assert [ROWS[place] for place in arranged(ROWS, Style(sort=sort))] == expected


def test_radii_are_sorted_as_numbers() -> None:
    rows = [replace(NONE, eps=eps) for eps in ("16/255", "8/255", "0.05", "what")]
    assert [rows[place].eps for place in arranged(rows, Style(sort="threat"))] == [
        *("8/255", "0.05", "16/255", "what")
    ]


def test_every_format_has_the_same_order_and_the_origins_follow() -> None:
    style = Style(sort="-bpda")
    assert defenses("csv", style)[1:3] == ["resize-pad", "round"]
    assert defenses("markdown", style) == ["resize-pad", "round", "none"]
    origins = [{"run": row.defense} for row in ROWS]
    for row in csv.DictReader(io.StringIO(render(ROWS, "csv", origins, style))):
        assert row["run"] == row["defense"]


@pytest.mark.parametrize(
    ("style", "cell"),
    [
        (Style(percent=False), "0.985 [0.957, 0.995] 197/200"),
        (Style(percent=False, digits=1), "1.0 [1.0, 1.0] 197/200"),
        (Style(digits=0), "98 [96, 99] 197/200"),
        (Style(digits=3), "98.500 [95.683, 99.489] 197/200"),
    ],
)
def test_digits_and_fractions_are_printed_as_asked(style: Style, cell: str) -> None:
    assert cell in render(ROWS, "markdown", None, style)
    assert render(ROWS, "csv", None, style) == render(ROWS, "csv")
    assert render(ROWS, "json", None, style) == render(ROWS, "json")


def test_the_notes_say_whether_numbers_are_per_cent() -> None:
    assert "as a fraction of all images" in render(ROWS, "markdown", None, Style(percent=False))
    assert "per cent" not in render(ROWS, "latex", None, Style(percent=False))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"columns": ("defence",)}, "no column 'defence'. Did you mean 'defense'"),
        ({"sort": "-bdpa"}, "no column 'bdpa'"),
        ({"columns": ("clean", "clean")}, "twice"),
        ({"digits": 13}, r"--digits must lie in \[0, 12\], got 13"),
        ({"digits": -1}, r"--digits must lie in"),
    ],
)
def test_a_style_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Style(**settings)


def test_a_style_survives_run_json() -> None:
    style = Style(columns=("defense", "bpda"), sort="-bpda", percent=False, digits=2)
    said = style.settings()
    assert style_of({**said, "columns": list(said["columns"])}) == style
    assert PLAIN.settings() == {}
    assert style_of(None) == style_of({}) == PLAIN


@pytest.mark.parametrize(
    "said",
    [3, "x", [], {"columns": "clean"}, {"digits": True}, {"digits": "1"}, {"more": 1}, {"columns": [1]}],
)
def test_a_forged_style_is_refused(said: Any) -> None:
    with pytest.raises(SpecError, match="no table looks like"):
        style_of(said)
