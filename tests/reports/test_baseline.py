"""Rows against a baseline: the same images in pairs, and a sentence where there are none."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import binomtest

from advbench.reports.baseline import (
    NOTE,
    Comparison,
    Side,
    compare,
    p_text,
    paired_csv,
    paired_fields,
    paired_grid,
    paired_json,
)
from advbench.results.records import Rate, Row, Rung
from advbench.results.statistics import PairedCounts
from tests.reports.records import NONE_TEN as NONE
from tests.reports.records import ROUND_TEN as ROUND

T, F = True, False


def side(
    rows: Sequence[Row], stands: dict[tuple[str, str], list[bool]], name: str = "run", **others: object
) -> Side:
    """A run whose images stand as told for each defense and rung; their indices are 3, 4, ..."""
    parts = [
        pd.DataFrame({"index": range(3, 3 + len(each)), "defense": defense, "rung": rung, "robust": each})
        for (defense, rung), each in stands.items()
    ]
    samples = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    shared = samples["rung"].isin(["clean", "gradient_free"])
    samples["attack"] = ["" if each else "pgd" for each in shared]
    settings = {"name": name, "rows": rows, "samples": samples, "fingerprint": "f", **others}
    return Side(**settings)  # type: ignore[arg-type]  # a table of settings


def row(defense: str, *rungs: Rung) -> Row:
    return replace(ROUND, defense=defense, rates={rung: Rate(0, 4) for rung in rungs})


MINE = side(
    [row("round", "clean", "bpda", "worst")],
    {("round", "clean"): [T, T, T, F], ("round", "bpda"): [T, F, T, F]},
)
BASE = side(
    [row("round", "bpda", "clean", "worst", "static")],
    {("round", "clean"): [F, F, T, T], ("round", "bpda"): [F, F, T, T]},
    name="base",
)


def test_each_rung_that_both_have_is_compared_image_by_image() -> None:
    found = compare(MINE, BASE)
    assert [(each.rung, each.pairs) for each in found] == [
        ("clean", PairedCounts(both=1, only_first=2, only_second=1, n=4)),
        ("bpda", PairedCounts(both=1, only_first=1, only_second=1, n=4)),
        ("worst", PairedCounts(both=1, only_first=1, only_second=1, n=4)),
    ]


def test_a_run_against_itself_differs_in_nothing() -> None:
    for each in compare(MINE, MINE):
        assert each.pairs is not None
        assert (each.pairs.difference, each.pairs.p_value) == (0.0, 1.0)


def test_the_order_of_the_records_changes_nothing() -> None:
    turned = replace(BASE, samples=BASE.samples.iloc[::-1])
    assert compare(MINE, turned) == compare(MINE, BASE)


@pytest.mark.parametrize(
    ("defenses", "counterpart"),
    [
        (("none", "round", "median"), "round"),  # the same
        (("none", "median"), "median"),  # the only one that is defended too
        (("none", "median", "jpeg"), None),
        (("none",), None),
        (("round", "round"), None),
    ],
)
def test_the_counterpart_is_the_same_defense_or_the_only_one_of_its_kind(
    defenses: tuple[str, ...], counterpart: str | None
) -> None:
    stands = {(each, "bpda"): [T, F] for each in {*defenses, "round"}}
    (found,) = compare(
        side([row("round", "bpda")], stands), side([row(each, "bpda") for each in defenses], stands, "base")
    )
    assert (found.other.defense if found.other else None) == counterpart
    assert found.reason == ("" if counterpart else "base has no single row to compare with")


@pytest.mark.parametrize("change", [{"norm": "l2"}, {"eps": "0.1"}, {"attack": "fgsm"}])
def test_another_threat_or_attack_has_no_counterpart(change: dict[str, str]) -> None:
    other = replace(BASE, rows=[Row(**{**vars(BASE.rows[0]), **change})])
    assert [each.reason for each in compare(MINE, other)] == ["base has no single row to compare with"]


@pytest.mark.parametrize("fingerprints", [("f", "g"), ("", ""), ("f", "")])
def test_images_that_are_not_known_to_be_the_same_are_not_compared(fingerprints: tuple[str, str]) -> None:
    one, other = (replace(each, fingerprint=f) for each, f in zip((MINE, BASE), fingerprints, strict=True))
    (found,) = compare(one, other)
    assert (found.pairs, found.reason) == (None, "the images of run are not those of base")


def test_other_images_of_the_data_set_are_not_compared() -> None:
    moved = replace(BASE, samples=BASE.samples.assign(index=BASE.samples["index"] + 1))
    assert {each.reason for each in compare(MINE, moved)} == {
        "the two runs chose other images of the data set"
    }


def test_the_lines_say_the_differences_with_their_interval_and_p() -> None:
    pairs = PairedCounts(both=50, only_first=30, only_second=5, n=100)
    missing = Comparison(row=NONE, reason="it is not there")
    words = paired_grid([Comparison(row=ROUND, other=NONE, rung="bpda", pairs=pairs), missing, missing])
    low, high = (f"{100 * each:+.1f}" for each in pairs.interval)
    p = binomtest(5, 35).pvalue
    assert words.lines == [["round", "none", "BPDA", f"+25.0 [{low}, {high}]", "30 / 5", f"< {1e-4:.4f}"]]
    assert p < 1e-4
    assert words.notes == [NOTE, "– (none, pgd): it is not there."]
    assert len(words.header) == len(words.lines[0])
    assert paired_grid([missing]).notes == ["– (none, pgd): it is not there."]
    assert paired_grid([]).lines == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "the same"),
        ({"model": "wide"}, "wide"),
        ({"defense": "jpeg"}, "jpeg"),
        ({"defense": "jpeg", "model": "wide"}, "wide, jpeg"),
    ],
)
def test_what_a_row_is_compared_with_is_told_by_what_differs(change: dict[str, str], said: str) -> None:
    other = Row(**{**vars(ROUND), **change})
    comparison = Comparison(row=ROUND, other=other, rung="bpda", pairs=PairedCounts(1, 2, 3, 10))
    assert paired_grid([comparison]).lines[0][1] == said


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1"), (0.04321, "0.043"), (1e-4, "0.0001"), (9.9e-5, "< 0.0001"), (0.0, "< 0.0001")]
)
def test_p_has_two_digits_and_a_smallest_value(p: float, text: str) -> None:
    assert p_text(p) == text


def test_files_have_every_comparison_in_full_and_why_others_are_missing() -> None:
    comparisons = [*compare(MINE, BASE), Comparison(row=NONE, reason="it, is not there")]
    lines = list(csv.DictReader(io.StringIO(paired_csv(comparisons))))
    items = json.loads(paired_json(comparisons))
    assert [each["rung"] for each in lines] == ["clean", "bpda", "worst", ""]
    assert [each["rung"] for each in items] == ["clean", "bpda", "worst", None]
    for each, line, item in zip(comparisons, lines, items, strict=True):
        assert item == paired_fields(each)
        assert line == {name: "" if value is None else str(value) for name, value in item.items()}
    assert items[0]["difference"] == 0.25
    assert (items[3]["difference"], items[3]["baseline_defense"]) == (None, None)
    assert json.loads(paired_json([])) == []
