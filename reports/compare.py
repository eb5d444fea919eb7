"""Where two tables of one format say different things."""

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, assert_never

from .formats import Format

_COUNT: Final = re.compile(r"\d+/\d+")
_CELL: Final = re.compile(r'data-value="([^"]*)"|(\d+/\d+)')


def first_difference(form: Format, text: str, expected: str, leave_out: Collection[str] = ()) -> str | None:
    """The first thing that a table says other than expected, in words; None if there is none.

    Numbers are compared as numbers, and only columns that are expected too: a later version may have more.

    Args:
        form: the format of both.
        text: the table as it was found.
        expected: the table as it should be.
        leave_out: columns of CSV and JSON that may say otherwise; of the other formats, where there are any
            such columns, the counts `7/10` alone are compared.
    """
    if text == expected:
        return None
    if leave_out and form in ("markdown", "latex"):
        counts, promised = (_COUNT.findall(version) for version in (text, expected))
        return None if counts == promised else "has other counts"
    lines, wanted = _lines(form, text), _lines(form, expected)
    if lines is None or wanted is None:
        return "cannot be read"
    if len(lines) != len(wanted):
        return f"has {len(lines)} lines, not {len(wanted)}"
    for number, (line, other) in enumerate(zip(lines, wanted, strict=True), start=1):
        for name, value in other.items():
            if name not in leave_out and not _same(line.get(name), value):
                return f"line {number}: {name} is {line.get(name)!r}, not {value!r}"
    return None


def other_cells(page: str, expected: str) -> bool:
    """Whether the tables of two pages, perhaps of different versions, have other numbers."""
    return _CELL.findall(page) != _CELL.findall(expected)


def first_other_place(text: str, expected: str, beside: int = 20) -> str:
    """Where two texts begin to differ, in words: what the first says there, and what the other does.

    Args:
        text: as it was found.
        expected: as it should be.
        beside: how many characters are told before that place and after.
    """
    shared = next(
        (place for place, pair in enumerate(zip(text, expected, strict=False)) if pair[0] != pair[1]),
        min(len(text), len(expected)),
    )
    start = max(0, shared - beside)
    one, other = (version[start : shared + beside] for version in (text, expected))
    return f"line {text.count(chr(10), 0, shared) + 1}: {one!r}, not {other!r}"


def _lines(form: Format, text: str) -> Sequence[Mapping[str, Any]] | None:
    match form:
        case "csv":
            try:
                return list(csv.DictReader(io.StringIO(text)))
            except csv.Error:  # a cell longer than any that was written
                return None
        case "json":
            try:
                rows = json.loads(text)
            except (ValueError, RecursionError):
                return None
            are_rows = isinstance(rows, list) and all(isinstance(other, dict) for other in rows)
            return rows if are_rows else None
        case "markdown" | "latex":
            return [{"text": line} for line in text.splitlines()]
        case _:
            assert_never(form)


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except (TypeError, ValueError, OverflowError):
        return False
