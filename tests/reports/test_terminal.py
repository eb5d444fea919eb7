"""The table on a terminal: as wide as it is, and never a number cut short."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from advbench.reports import print_table
from advbench.reports.style import Style
from advbench.reports.terminal import folded, in_phrases
from advbench.results.records import RUNGS, Rate, Row
from tests.reports.records import NONE_TEN as NONE
from tests.reports.records import PAIRED_TEN as PAIRED
from tests.reports.records import ROUND_TEN as ROUND


def on_terminal(*rows: Row) -> str:
    file = io.StringIO()
    print_table(rows, Console(file=file, width=80))
    return file.getvalue()


def test_no_number_is_cut_short_where_models_threats_and_attacks_differ_too() -> None:
    other = replace(ROUND, norm="l2", eps="0.5", attack="square:queries=100", model="a long name of a model")
    printed = on_terminal(NONE, ROUND, other)
    assert printed.count("70.0\n") == 2
    assert "gap\n" in printed


def test_three_columns_of_names_fit_the_terminal_with_the_columns_moved_together() -> None:
    searched = replace(ROUND, attack="square", substitute="identity; soft")
    lines = on_terminal(NONE, searched).splitlines()
    assert max(map(len, lines)) == 80
    assert any(line.endswith(" 70.0") for line in lines)


@pytest.mark.parametrize(
    "rows", [(NONE, ROUND), (replace(NONE, attack="fgsm"), ROUND)], ids=["one", "two attacks"]
)
def test_the_terminal_shows_every_number_within_80_columns(rows: tuple[Row, ...]) -> None:
    many = [replace(each, n=10_000, rates={k: Rate(9_999, 10_000) for k in each.rates}) for each in rows]
    text = on_terminal(*many)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("[99.9, 100.0]") == 5
    assert text.count("9999/10000") == 5
    assert "…" not in text


def test_the_terminal_folds_long_names_within_80_columns() -> None:
    name = "+".join(["bit-depth:bits=4@layer1.0.conv1"] * 4)
    text = on_terminal(NONE, replace(ROUND, defense=name, attack="pgd:steps=1000,restarts=10"))
    assert max(map(len, text.splitlines())) <= 80
    assert "[59.6, 98.2]" in text


def test_a_name_is_broken_behind_the_signs_of_its_grammar() -> None:
    assert (
        folded("bit-depth:bits=3+round:step=0.1@layer1", 14) == "bit-depth:\nbits=3+round:\nstep=0.1@\nlayer1"
    )
    assert folded("identity; soft", 10) == "identity;\nsoft"
    assert folded("digits, n = 20", 11) == "digits,\nn = 20", "an equation stays together"
    assert folded("round", 3) == "round", "a single piece is left to the table"


def test_a_caption_is_broken_behind_its_semicolons() -> None:
    caption = "model: digits-cnn; threat: linf, eps = 0.15; attack: pgd"
    assert in_phrases(caption, 80) == caption
    assert in_phrases(caption, 50) == "model: digits-cnn; threat: linf, eps = 0.15;\nattack: pgd"
    assert in_phrases(caption, 10).splitlines()[0] == "model: digits-cnn;"


def test_no_parameter_is_broken_in_mid_word_within_80_columns() -> None:
    rates = {rung: Rate(k, 10) for k, rung in enumerate(RUNGS, start=1)}
    row = replace(ROUND, defense="bit-depth:bits=3", substitute="identity; soft", rates=rates)
    words = on_terminal(replace(NONE, rates=rates), row).split()
    assert {"bit-depth:", "bits=3", "identity;", "soft"} <= set(words)


@pytest.mark.parametrize(("width", "intervals"), [(30, False), (40, True)])
def test_a_narrow_terminal_has_a_block_a_row(width: int, intervals: bool) -> None:
    file = io.StringIO()
    print_table((NONE, replace(ROUND, substitute="soft")), Console(file=file, width=width))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert lines.index("none") < lines.index("round")
    block = lines[lines.index("round") :]
    assert block[1].split() == ["substitute", "soft"]
    assert [line.split()[0] for line in block[2:5]] == ["clean", "shattered", "BPDA"]
    assert ("[59.6, 98.2]" in block[2]) == intervals
    assert "9/10" in block[2]


def test_a_block_is_headed_by_all_that_names_its_row() -> None:
    file = io.StringIO()
    print_table((NONE, replace(ROUND, attack="apgd")), Console(file=file, width=50))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert f"{NONE.attack} / none" in lines
    assert "apgd / round" in lines


def test_what_fits_no_terminal_is_printed_in_blocks_there_and_in_longer_lines_to_a_file() -> None:
    rates = {rung: Rate(k, 10) for k, rung in enumerate(RUNGS, start=1)}
    rows = [
        replace(ROUND, rates=rates, model=model, norm=norm) for model, norm in (("a", "l2"), ("b", "linf"))
    ]
    printed = []
    for terminal in (True, False):
        file = io.StringIO()
        print_table(rows, Console(file=file, width=80, force_terminal=terminal, no_color=True))
        printed.append(re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()))
    assert max(map(len, printed[0].splitlines())) <= 80
    assert "gradient-free" in printed[0]
    assert max(map(len, printed[1].splitlines())) > 80


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_terminal_is_too_narrow_for_a_number(width: int) -> None:
    """Where there is no room, intervals are left out, and it is said; a number is never cut short."""
    rows = (NONE, replace(ROUND, attack="pgd:steps=1000"))
    file = io.StringIO()
    print_table(rows, Console(file=file, width=width))
    text = file.getvalue()
    for row in rows:
        for rate in row.rates.values():
            low, high = rate.interval
            told = f"[{100 * low:.1f}, {100 * high:.1f}]" in text
            assert told != ("Intervals do not fit here" in " ".join(text.split()))
            assert told or width < 80
            assert f"{100 * rate.accuracy:.1f}" in text
            assert f"{rate.count}/{rate.n}" in text
    assert f" {100 * (ROUND.masking_gap or 0):.1f}" in text
    assert "gap" in text
    assert "round" in text


@pytest.mark.parametrize(
    ("width", "columns", "told"),
    [(80, (), False), (140, (), True), (80, ("defense", "clean", "bpda", "gap"), True), (80, ("gap",), True)],
)
def test_the_interval_of_the_gap_is_told_where_nothing_gives_way_to_it_or_where_it_is_asked_for(
    width: int, columns: tuple[str, ...], told: bool
) -> None:
    file = io.StringIO()
    rows = (NONE, replace(PAIRED, attack="pgd:steps=1000"), replace(PAIRED, substitute="soft; identity"))
    print_table(rows, Console(file=file, width=width), Style(columns=columns))
    text = file.getvalue()
    low, high = PAIRED.pairs["bpda"].interval
    assert (f"[{100 * low:.1f}, {100 * high:.1f}]" in text) == told
    assert ("score interval of the difference in pairs" in " ".join(text.split())) == told
    assert max(map(len, text.splitlines())) <= width


def test_six_rungs_fit_the_terminal_and_lose_no_number() -> None:
    text = on_terminal(replace(ROUND, rates={rung: Rate(k, 10) for k, rung in enumerate(RUNGS, start=1)}))
    assert max(map(len, text.splitlines())) <= 80
    assert [f"{k}/10" for k in range(1, 7) if f"{k}/10" not in text] == []
    assert "round" in text


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "[link=x]y", ":smile:", "a\\"])
def test_markup_in_a_name_is_shown_on_the_terminal_as_it_is(name: str) -> None:
    wide = io.StringIO()  # with room enough that no release of rich folds the name
    print_table([replace(ROUND, defense=name)], Console(file=wide, width=120))
    assert name in wide.getvalue()


@pytest.mark.parametrize(
    ("label", "width", "lines"),
    [
        ("finite-difference", 10, ["finite-", "difference"]),
        ("finite-difference", 17, ["finite-difference"]),
        ("identity; finite-difference", 11, ["identity;", "finite-", "difference"]),
        ("1e-3", 2, ["1e-", "3"]),
        ("bit-depth:bits=3", 12, ["bit-depth:", "bits=3"]),
    ],
)
def test_a_piece_that_is_too_long_is_broken_behind_its_hyphens(
    label: str, width: int, lines: list[str]
) -> None:
    assert folded(label, width).splitlines() == lines
