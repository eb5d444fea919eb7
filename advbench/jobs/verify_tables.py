"""What people read of a run, made again from its records: tables, page, lists and what `run.json` repeats."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from advbench.errors import AdvbenchError, SpecError
from advbench.jobs.check import Check
from advbench.jobs.report_page import page_of_run
from advbench.regular_files import read_if_there
from advbench.reports.compare import first_difference, first_other_place, other_cells
from advbench.reports.formats import FILE_NAMES, Format, render
from advbench.reports.page import PAGE_FILE
from advbench.reports.style import Style, style_of
from advbench.results.records import Row
from advbench.results.table import Heading, rows_of, warnings_told
from advbench.results.verdict import RULES
from advbench.runs.folder import CANDIDATES, INDICATORS
from advbench.runs.listings import candidates_csv, indicators_csv
from advbench.runs.manifest import MANIFEST, Manifest, entry
from advbench.runs.provenance import origin_of
from advbench.runs.read import Records
from advbench.version import VERSION

_MADE: Final = "what the records come to"
_LONGER: Final = 4
_SLACK: Final = 1 << 20
"""A text of so many times as many characters and so many more is no table of the run, whatever it says."""

_LARGEST_TEXT: Final = 256 << 20
_REWORDED: Final = ("meaning", "advice", "threshold", "tripped")
"""Columns of `indicators.csv` that another version may word otherwise."""


def check_tables(
    manifest: Manifest, samples: pd.DataFrame, heading: Heading, data_root: Path | None
) -> Iterator[Check]:
    """Whether tables, page and lists say what the records come to, to the byte where this version wrote them.

    Args:
        manifest: the run's `run.json`.
        samples: the records of the whole run.
        heading: what the table is about.
        data_root: where the data set of the page's gallery is now; None for where it was.
    """
    rows, exact = rows_of(samples, heading), _is_of_this_version(manifest)
    try:
        style = style_of(manifest.values.get("tables"))
    except SpecError as error:
        yield Check("tables", False, f"{MANIFEST}: {error}")
        return
    for form, name in FILE_NAMES.items():
        text = _text_of(manifest.path / name)
        if text is not None:
            expected = render(rows, form, origin_of(manifest.values), style)
            yield _table_checked(name, form, (text, expected), heading, exact=exact)
    if heading.rules < RULES and any(row.verdict for row in rows):
        verdicts = "; ".join(
            f"{row.defense} under {row.attack}: {row.verdict.partition(':')[0]}" for row in rows
        )
        yield Check("verdicts", True, f"an earlier version's, not compared; by today's rules: {verdicts}")
    yield from _check_page(Records(manifest, heading, samples), style, data_root, exact=exact)
    yield from _check_lists(manifest, heading, exact=exact)
    yield _check_repeated(manifest, heading, rows)


def _other_length(text: str, expected: str) -> str | None:
    """What to say of a text that is so long that it need not be taken apart; None of another."""
    if len(text) <= _LONGER * len(expected) + _SLACK:
        return None
    return f"has {len(text):,} characters, where about {len(expected):,} are expected"


def _is_of_this_version(manifest: Manifest) -> bool:
    return manifest.seal is not None and entry(manifest.values, "versions", "advbench") == VERSION


def _text_of(path: Path) -> str | None:
    contents: bytes | None = read_if_there(path, _LARGEST_TEXT)
    return None if contents is None else contents.decode(errors="replace")


def _table_checked(
    name: str, form: Format, texts: tuple[str, str], heading: Heading, *, exact: bool
) -> Check:
    # The rules of verdicts have changed since, and with them what people read beside the numbers.
    earlier = ("verdict",) if heading.rules < RULES else ()
    difference = _other_length(*texts) or first_difference(form, *texts, earlier)
    if difference is None and exact and texts[0] != texts[1]:
        difference = first_other_place(*texts)
    same = "to the byte" if texts[0] == texts[1] else "in its numbers; another version wrote it"
    return Check(f"numbers of {name}", not difference, difference or f"{_MADE}, {same}")


def _check_page(records: Records, style: Style, data_root: Path | None, *, exact: bool) -> Iterator[Check]:
    """The page with its figures and its gallery, drawn again."""
    text, seal = _text_of(records.manifest.path / PAGE_FILE), records.manifest.seal
    if text is None:
        return
    what = f"numbers of {PAGE_FILE}"
    try:
        expected = page_of_run(records, style, seal.folder if seal else "", data_root)
    except AdvbenchError as error:
        yield Check(what, False, f"it cannot be drawn again: {error}")
        return
    if text == expected:
        yield Check(what, True, f"{_MADE}, figures and gallery too, to the byte")
    elif longer := _other_length(text, expected):
        yield Check(what, False, longer)
    elif exact or other_cells(text, expected):
        yield Check(what, False, first_other_place(text, expected))
    else:
        yield Check(
            what, True, f"the table has {_MADE}; another version drew the rest, which is not compared"
        )


def _check_lists(manifest: Manifest, heading: Heading, *, exact: bool) -> Iterator[Check]:
    """Whether the lists beside the records say what `run.json` says."""
    origin = origin_of(manifest.values)
    expected_files = {
        INDICATORS: indicators_csv(heading.indicators, origin) if heading.indicators else None,
        CANDIDATES: candidates_csv(manifest.candidates, origin) if manifest.candidates else None,
    }
    for name, expected in expected_files.items():
        text = _text_of(manifest.path / name)
        if text is None and expected is None:
            continue
        if text is None or expected is None:
            difference: str | None = f"there is none, and {MANIFEST} lists some"
            if text is not None:
                difference = f"{MANIFEST} lists none of them"
        else:
            reworded = () if exact else _REWORDED
            difference = _other_length(text, expected) or first_difference("csv", text, expected, reworded)
            if difference is None and exact and text != expected:
                difference = first_other_place(text, expected)
        yield Check(f"numbers of {name}", not difference, difference or f"those of {MANIFEST}")


def _check_repeated(manifest: Manifest, heading: Heading, rows: Sequence[Row]) -> Check:
    """Whether `run.json` repeats the warnings and notes that its table has."""
    wanted = {"warnings": warnings_told(rows), "notes": list(heading.notes)}
    for name, lines in wanted.items():
        recorded = manifest.values.get(name, [])
        if recorded != lines:
            return Check(f"{name} of {MANIFEST}", False, "not those of its table")
    return Check(f"warnings of {MANIFEST}", True, f"{len(wanted['warnings'])}, those of its table")
