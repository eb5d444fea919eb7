"""Two tables of one format differ where they say different things, and numbers are no text."""

import pytest

from advbench.reports import render
from advbench.reports.compare import first_difference
from advbench.reports.formats import FILE_NAMES, Format
from tests.reports.records import ROWS

CSV = "defense,clean,note\nnone,0.5,a\nround,0.25,b\n"
JSON = '[{"defense": "none", "clean": 0.5}, {"defense": "round", "clean": null}]'


@pytest.mark.parametrize("form", FILE_NAMES)
def test_a_table_is_what_it_is(form: Format) -> None:
    text = render(ROWS, form)
    assert first_difference(form, text, text) is None
    assert first_difference(form, text.replace("round", "ground"), text) is not None
    assert first_difference(form, "", text) is not None


@pytest.mark.parametrize(
    ("form", "text", "expected", "told"),
    [
        ("csv", CSV.replace("0.25", "2.5e-1"), CSV, None),
        ("csv", CSV.replace("0.25", "0.26"), CSV, "line 2: clean is '0.26', not '0.25'"),
        ("csv", CSV.replace("0.5", "half"), CSV, "line 1: clean is 'half', not '0.5'"),
        ("csv", CSV.replace("0.5", ""), CSV, "line 1: clean is '', not '0.5'"),
        ("csv", "defense,clean\nnone,0.5\nround,0.25\n", CSV, "line 1: note is None, not 'a'"),
        ("csv", CSV, "defense,clean\nnone,0.5\nround,0.25\n", None),  # a later version may have more
        ("csv", "clean,note,defense\n0.5,a,none\n0.25,b,round\n", CSV, None),
        ("csv", "defense,clean,note\nnone,0.5,a\n", CSV, "has 1 lines, not 2"),
        ("csv", "", CSV, "has 0 lines, not 2"),
        ("csv", "defense,clean,note\nnone,0.5\nround,0.25,b,c\n", CSV, "line 1: note is None, not 'a'"),
        ("csv", "defense,clean,note\n" + 200_000 * "x", CSV, "cannot be read"),
        ("csv", "a\n1e999\n", "a\ninf\n", None),
        ("json", JSON.replace("0.5", "5e-1"), JSON, None),
        ("json", JSON.replace("null", "0"), JSON, "line 2: clean is 0, not None"),
        ("json", JSON.replace("0.5", "9" * 400), JSON, f"line 1: clean is {'9' * 400}, not 0.5"),
        ("json", JSON[:-1], JSON, "cannot be read"),
        ("json", "{}", JSON, "cannot be read"),
        ("json", "[1, 2]", JSON, "cannot be read"),
        ("json", "[" * 100_000, JSON, "cannot be read"),
        ("json", "[]", JSON, "has 0 lines, not 2"),
        ("markdown", "| a |\n| 1.0 |\n", "| a |\n| 1 |\n", "line 2: text is '| 1.0 |', not '| 1 |'"),
        ("latex", "a\nb", "a\nb\n", None),
    ],
)
def test_the_first_difference_is_told_and_numbers_are_compared_as_numbers(
    form: Format, text: str, expected: str, told: str | None
) -> None:
    assert first_difference(form, text, expected) == told


def test_columns_may_be_left_out_and_of_tables_for_reading_the_counts_are_what_is_left() -> None:
    assert first_difference("csv", CSV.replace("0.25", "0.3"), CSV, ["clean"]) is None
    assert first_difference("csv", CSV.replace("b", "c"), CSV, ["clean"]) == "line 2: note is 'c', not 'b'"
    table = "| none | 90.0 9/10 | 0.0 0/10 |\nnone: masked\n"
    forms: tuple[Format, ...] = ("markdown", "latex")
    for form in forms:
        assert first_difference(form, table.replace("masked", "robust"), table, ["verdict"]) is None
        assert first_difference(form, table.replace("9/10", "8/10"), table, ["verdict"]) == "has other counts"
        assert (
            first_difference(form, table.replace("0/10 |", "0/10 | 1/10 |"), table, ["verdict"]) is not None
        )
