"""The table as words: what rows share is the caption, what differs a column, and what is missing a note."""

from dataclasses import replace

import pytest

from advbench.reports import render
from advbench.reports.grid import MISSING, grid, interval_text, layout, so_far_text, verdicts_of
from advbench.reports.style import PLAIN
from advbench.results.records import Rate, Row, Rung, SoFar, Spread
from tests.reports.records import NONE_TEN as NONE
from tests.reports.records import PAIRED_TEN as PAIRED
from tests.reports.records import ROUND_TEN as ROUND


def test_two_missing_cells_keep_a_reason_each() -> None:
    other = replace(NONE, model="other", reasons={"bpda": "it broke"})
    text = render([NONE, other, ROUND], "markdown")
    assert "no defense to substitute" in text
    assert "it broke" in text


def test_the_rungs_come_in_the_order_of_the_ladder() -> None:
    row = replace(ROUND, rates={"worst": Rate(1, 10), "static": Rate(5, 10), **ROUND.rates})
    header = render([row], "markdown").splitlines()[2]
    assert header == "| defense | substitute | clean | static | shattered | BPDA | worst | gap |"


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"model": "wide"}, "model", "wide"),
        ({"dataset": "mnist"}, "dataset", "mnist, n = 10"),
        ({"eps": "0.5"}, "threat", "linf, eps = 0.5"),
        ({"norm": "l2"}, "threat", "l2, eps = 8/255"),
        ({"attack": "fgsm"}, "attack", "fgsm"),
    ],
)
def test_a_trait_that_differs_becomes_a_column_and_leaves_the_caption(
    change: dict[str, str], column: str, value: str
) -> None:
    rows = [ROUND, Row(**{**vars(ROUND), **change})]
    caption, _, header, _, _, last = render(rows, "markdown").splitlines()[:6]
    assert f"{column}:" not in caption
    assert header.startswith(f"| {column} | defense |")
    assert last.startswith(f"| {value} | round |")


def test_what_all_rows_share_is_told_once_and_a_row_without_images_shares_their_number() -> None:
    failed = replace(NONE, n=0, rates={}, error="it broke")
    plan = layout([NONE, ROUND, failed])
    assert plan.caption == "model: net; dataset: digits, n = 10; threat: linf, eps = 8/255; attack: pgd"
    assert dict(plan.names) == {"defense": ["none", "round", "none"], "substitute": ["–", "identity", "–"]}
    assert (plan.gap, plan.gap_interval) == (True, False)
    assert layout([NONE]).names.keys() == {"defense"}


@pytest.mark.parametrize("breaks", [(" ", " "), ("\n", "\n")])
def test_a_cell_is_its_rate_its_interval_and_its_count(breaks: tuple[str, str]) -> None:
    spread = replace(ROUND, rates={"clean": Rate(9, 10, Spread(0.875, 0.0125), median=0.03125)})
    one, other = breaks
    assert grid([spread], breaks).lines[0][2:] == [
        f"90.0{one}[59.6, 98.2]{one}~87.5 ± 1.2{other}9/10{other}median 0.03125"
    ]
    assert grid([spread], breaks, intervals=False).lines[0][2:] == [f"90.0{other}9/10"]


def test_every_line_has_a_cell_for_each_column_and_missing_ones_are_dashes() -> None:
    words = grid([NONE, PAIRED, replace(NONE, rates={}, error="it broke", n=0)])
    assert {len(line) for line in words.lines} == {len(words.header)}
    assert words.header[words.labels :] == ["clean", "shattered", "BPDA", "gap"]
    assert words.lines[0][-2:] == [MISSING, MISSING]
    assert words.lines[2][words.labels :] == [MISSING] * 4
    assert words.lines[1][-1] == f"70.0 {interval_text(PAIRED, PLAIN)}"
    assert interval_text(ROUND, PLAIN) == ""


def test_notes_are_told_once_whatever_the_number_of_rows() -> None:
    doubted = replace(ROUND, warnings=("it is random",), notes=("grey pictures",))
    notes = grid([doubted, doubted, NONE]).notes
    assert notes.count("WARNING (round): it is random.") == 1
    assert notes.count("NOTE: grey pictures.") == 1
    two_models = grid([doubted, replace(doubted, model="wide")]).notes
    assert "NOTE (net, wide): grey pictures." in two_models


def test_a_run_under_way_says_how_far_each_row_is_and_what_has_not_begun() -> None:
    pending: dict[Rung, SoFar] = {
        "clean": SoFar(4, 4),
        "bpda": SoFar(4, 2),
        "static": SoFar(0, 0),
        "worst": SoFar(0, 0),
    }
    begun = replace(ROUND, rates={"shattered": Rate(8, 10)}, pending=pending)
    later = replace(ROUND, defense="jpeg", rates={}, pending={"bpda": SoFar(0, 0), "worst": SoFar(0, 0)})
    notes = grid([begun, later]).notes
    assert "NOT FINISHED (round): BPDA 4 of 10 images done, 2 of these stand; static to come." in notes
    assert "NOT BEGUN: jpeg." in notes
    assert so_far_text("gradient_free", SoFar(0, 0), 10) == "gradient-free to come"


def test_verdicts_name_what_tells_the_rows_apart_and_what_to_do_once() -> None:
    judged = replace(ROUND, verdict="masked: it fell", advice=("--bpda", "--bpda", "--limit"))
    assert verdicts_of([judged, NONE]) == ["round: masked: it fell -> --bpda; --limit"]
    assert verdicts_of([replace(judged, advice=()), replace(NONE, attack="fgsm")]) == [
        "pgd, round: masked: it fell"
    ]
    assert verdicts_of([NONE]) == []


def test_a_rule_of_the_judge_that_all_rows_share_is_told_with_what_they_share() -> None:
    random = [replace(row, judge="any:3") for row in (NONE, ROUND)]
    assert layout(random).caption.endswith("; judge: any:3")
    assert "judge" not in layout(random).names
    assert "judge" in layout([NONE, random[1]]).names
    assert "judge" not in layout([NONE, random[1]]).caption
    assert "judge" not in layout([NONE, ROUND]).caption
