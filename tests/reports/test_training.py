"""The table of a training: golden strings, the pairs in closed form, and what is missing said as such."""

import csv
import io
import json

from rich.console import Console

from advbench.reports.training import (
    paired_lines,
    print_training,
    training_csv,
    training_json,
    training_lines,
    training_markdown,
)
from advbench.results.statistics import tango_interval
from advbench.results.trained import Measure, Measured, Paired

ORIGIN = {"seed": "0", "command": "advbench finetune --apart"}


def row(model: str, measure: Measure, setting: str, count: int, passes: int = 1) -> Measured:
    return Measured(model=model, measure=measure, setting=setting, n=200, passes=passes, count=count)


ROWS = [
    row("before", "clean", "", 150),
    row("before", "statistics", "0.1", 600, passes=5),
    row("before", "corruption", "jpeg/1", 140),
    row("before", "corruption", "jpeg/2", 120),
    row("apart", "clean", "", 160),
    row("apart", "statistics", "0.1", 790, passes=5),
    row("apart", "attack", "pgd linf 8/255", 0),
]
PAIR = Paired("apart", "before", 200, 140, 20, 10)


def test_the_lines_are_words() -> None:
    assert training_lines(ROWS) == [
        ["accuracy", "before", "APART"],
        ["clean", "75.0 [68.6, 80.5]", "80.0 [73.9, 85.0]"],
        ["statistics ± 0.1", "60.0", "79.0"],
        ["jpeg", "65.0", "–"],
        ["all corruptions", "65.0", "–"],
        ["pgd linf 8/255", "–", "0.0 [0.0, 1.9]"],
    ]


def test_pairs_have_the_interval_of_paired_differences() -> None:
    assert PAIR.difference == 0.05
    assert PAIR.interval == tango_interval(20, 10, 200)
    assert paired_lines([PAIR]) == [
        "APART minus before, on the same clean images: +5.0 points [-0.4, +10.7]; "
        "20 right by APART alone, 10 by before alone, 140 by both."
    ]


def test_files_have_every_row_in_full_and_say_where_it_comes_from() -> None:
    lines = list(csv.DictReader(io.StringIO(training_csv(ROWS, ORIGIN))))
    assert len(lines) == len(ROWS)
    assert lines[1]["accuracy"] == "0.6"
    assert lines[1]["passes"] == "5"
    assert {each["command"] for each in lines} == {ORIGIN["command"]}
    whole = json.loads(training_json(ROWS, [PAIR], ORIGIN))
    assert [each["count"] for each in whole["rows"]] == [each.count for each in ROWS]
    assert whole["pairs"][0]["only_one"] == 20
    assert whole["origin"] == ORIGIN


def test_markdown_cannot_be_broken_by_a_name() -> None:
    text = training_markdown("model: <b>|*", ROWS, [PAIR], {"command": "a --> b"})
    assert "<b>" not in text
    assert text.count("-->") == 1
    assert "It is no defense" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 7


def test_the_terminal_table_says_what_apart_is_for() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    print_training("model: digits-cnn", ROWS, [PAIR], console)
    text = console.export_text()
    assert "what it does to corrupted and attacked images is measured here, not promised" in " ".join(
        text.split()
    )
    assert "mean of 5 draws" in text
