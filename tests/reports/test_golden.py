"""One table in every format, to the byte. `python -m tests.reports.test_golden` makes the files anew."""

import csv
import io
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from advbench.reports import print_table, render
from advbench.reports.formats import FILE_NAMES, Format
from tests.reports.records import HOSTILE, ORIGIN, ROWS

GOLDEN = Path(__file__).parent / "golden"
_FRACTION = re.compile(r"\d\.\d+(e-\d+)?")


def on_terminal() -> str:
    file = io.StringIO()
    print_table(ROWS, Console(file=file, width=80))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def shortened(value: Any) -> Any:
    """Fractions to twelve decimals, beyond which platforms may differ."""
    return round(value, 12) if isinstance(value, float) else value


def numbers_of(form: Format, text: str) -> Any:
    if form == "json":
        return [{name: shortened(value) for name, value in row.items()} for row in json.loads(text)]
    return [
        [f"{float(cell):.12f}" if _FRACTION.fullmatch(cell) else cell for cell in line]
        for line in csv.reader(io.StringIO(text))
    ]


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_tables_for_reading_are_the_golden_ones(form: Format) -> None:
    assert render(ROWS, form, ORIGIN) == (GOLDEN / FILE_NAMES[form]).read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["csv", "json"])
def test_tables_of_data_are_the_golden_ones(form: Format) -> None:
    golden = (GOLDEN / FILE_NAMES[form]).read_text(encoding="utf-8")
    assert numbers_of(form, render(ROWS, form, ORIGIN)) == numbers_of(form, golden)


def test_the_terminal_shows_the_golden_table() -> None:
    """To the letter; with an older rich than the golden one's but for the width of columns."""
    golden = (GOLDEN / "terminal.txt").read_text(encoding="utf-8")
    if version("rich").startswith("15."):
        assert on_terminal() == golden
    widths = re.compile(r"[ ─]+")
    assert widths.sub(" ", on_terminal()) == widths.sub(" ", golden)
    assert max(map(len, on_terminal().splitlines())) == max(map(len, golden.splitlines()))


@pytest.mark.parametrize("form", FILE_NAMES)
def test_the_same_rows_give_the_same_bytes(form: Format) -> None:
    assert render(ROWS, form, ORIGIN).encode() == render(list(ROWS), form, dict(ORIGIN)).encode()


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("csv", HOSTILE),
        ("json", HOSTILE),
        ("markdown", r"| &lt;script&gt;alert(1)&lt;/script&gt; & 100%\_ |"),
        ("latex", r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} \& 100\%\_ &"),
    ],
)
def test_a_hostile_name_is_text(form: Format, shown: str) -> None:
    assert shown in render(ROWS, form)


def write() -> None:
    """Make the golden files anew."""
    GOLDEN.mkdir(exist_ok=True)
    for form, name in FILE_NAMES.items():
        (GOLDEN / name).write_text(render(ROWS, form, ORIGIN), encoding="utf-8")
    (GOLDEN / "terminal.txt").write_text(on_terminal(), encoding="utf-8")


if __name__ == "__main__":
    write()
