"""An index over many runs as one page: a table to sort and filter, two runs side by side, and pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from advbench.results.records import RUNGS, Row, Rung

from .document import MOODS, column_head, document, heading, notes_list, section
from .frame import rungs_run
from .gallery import gallery_section
from .grid import MISSING, TITLES, of_all
from .pictures import Picture
from .style import PLAIN, Style

_NAMES: Final = ("run", "defense", "verdict", "model", "dataset", "threat", "attack")
_KINDS: Final = ("masked", "unreliable", "not enough evidence", "not robust", "robust as measured")
_NONE: Final = "no verdict"


@dataclass(frozen=True, kw_only=True)
class IndexedRun:
    """A run in an index.

    Args:
        name: its folder, seen from the one that is shown.
        rows: of its table.
        started: when it began; empty where it is not known.
        images: what tells its images from others.
    """

    name: str
    rows: Sequence[Row]
    started: str = ""
    images: str = ""


@dataclass(frozen=True, kw_only=True)
class Index:
    """What an index shows.

    Args:
        title: its heading.
        runs: in the order of the table.
        closed: folders that could not be read, each with the reason.
        notes: what the index leaves out.
        pictures: of the gallery, each with its run.
        style: how accuracies are written.
    """

    title: str
    runs: Sequence[IndexedRun]
    closed: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    style: Style = PLAIN


def index_page(content: Index) -> str:
    """The page; everything that comes from records, files and names is escaped."""
    rows = [row for run in content.runs for row in run.rows]
    counts = ", ".join(
        f"{count} {what}{'s' * (count != 1)}"
        for count, what in ((len(content.runs), "run"), (len(rows), "row"))
    )
    if content.closed:
        counts += f"; {len(content.closed)} that could not be read: see the end"
    body = [
        heading(content.title, f"{counts}."),
        notes_list(content.notes),
        _table(content),
        _comparison(content),
        gallery_section(content.pictures),
        _closed(content.closed),
    ]
    return document(content.title, body, ("page.js", "index.js") if rows else ("page.js",), broad=True)


def _table(content: Index) -> str:
    rungs = rungs_run([row for run in content.runs for row in run.rows])
    heads = [column_head(name) for name in _NAMES]
    heads += [column_head("n", number=True), *(column_head(TITLES[rung], number=True) for rung in rungs)]
    heads.append(column_head("started"))
    lines = [
        _line(run, number, row, rungs, content.style)
        for number, run in enumerate(content.runs)
        for row in run.rows
    ]
    if not lines:
        return section("Runs", "<p>No run here could be read.</p>")
    kinds = sorted({_kind(row) for run in content.runs for row in run.rows}, key=_place)
    options = "".join(f"<option>{escape(kind)}</option>" for kind in kinds)
    note = (
        f"{of_all(content.style)}, images left standing; where the pointer rests, the 95 % Wilson interval."
    )
    return section(
        "Runs",
        '<div class="tools"><label>Filter rows<input id="filter" type="search" autocomplete="off"></label>'
        f'<label>verdict<select data-row="verdict"><option value="">all</option>{options}</select></label>'
        '</div><div class="wide tall" tabindex="0" role="region" aria-label="Runs">'
        f'<table class="sortable"><thead><tr>{"".join(heads)}</tr></thead><tbody>\n'
        f"{chr(10).join(lines)}\n</tbody></table></div>{notes_list([note])}",
    )


def _line(run: IndexedRun, number: int, row: Row, rungs: Sequence[Rung], style: Style) -> str:
    traits = {
        "defense": row.defense,
        "model": row.model,
        "data set": row.dataset,
        "threat": f"{row.norm} {row.eps}",
        "attack": row.attack,
    }
    marks = {"run": str(number), "traits": json.dumps(traits), "images": run.images, "verdict": _kind(row)}
    marks["sentence"] = row.verdict or row.error
    written = " ".join(f'data-{name}="{escape(text)}"' for name, text in marks.items())
    defense, *others = (f"<td>{escape(text)}</td>" for text in traits.values())
    return (
        f'<tr {written}><th scope="row">{escape(run.name)}</th>{defense}'
        f'<td title="{escape(row.verdict or row.error)}"><span class="mood {_mood(row)}">'
        f"{escape(_kind(row))}</span></td>"
        + "".join(others)
        + f'<td class="number" data-value="{row.n}">{row.n}</td>'
        + "".join(_accuracy(row, rung, style) for rung in rungs)
        + f'<td class="when" data-value="{escape(run.started[:_TIME])}">{_when(run.started)}</td></tr>'
    )


def _accuracy(row: Row, rung: Rung, style: Style) -> str:
    rate = row.rates.get(rung)
    if rate is None:
        why = row.reasons.get(rung, row.error or "not run")
        return f'<td class="number" data-rung="{rung}" data-value="" title="{escape(why)}">{MISSING}</td>'
    low, high = map(style.number, rate.interval)
    return (
        f'<td class="number" data-rung="{rung}" data-value="{rate.accuracy!r}" title="[{low}, {high}]">'
        f"{style.number(rate.accuracy)}<small>{rate.count}/{rate.n}</small></td>"
    )


_TIME: Final = 19
"""Characters of a time in UTC, without its zone."""


def _when(started: str) -> str:
    """A day, and below it the time of day in UTC."""
    day, _, time = started[:_TIME].partition("T")
    return f"{escape(day)}<small>{escape(time)}</small>" if started else ""


def _kind(row: Row) -> str:
    if row.error:
        return "failed"
    return row.verdict.partition(":")[0] or _NONE


def _mood(row: Row) -> str:
    return MOODS.get(_kind(row), "unsure" if row.verdict else "none")


def _place(kind: str) -> tuple[int, str]:
    """The verdicts from the gravest on, then what is none."""
    return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS)), kind


def _comparison(content: Index) -> str:
    """Where two runs are put side by side; the page's script fills it, and shows it."""
    if not any(run.rows for run in content.runs):
        return ""
    options = "".join(
        f'<option value="{number}">{escape(run.name)}</option>'
        for number, run in enumerate(content.runs)
        if run.rows
    )
    choices = "".join(
        f'<label>{title}<select id="{name}"><option value="">choose</option>{options}</select></label>'
        for name, title in (("one", "run A"), ("other", "run B"))
    )
    present = rungs_run([row for run in content.runs for row in run.rows])
    rungs = [[rung, TITLES[rung]] for rung in RUNGS if rung in present]
    style = content.style
    digits = style.number(0.5).partition(".")[2]
    return (
        '<section id="comparing" hidden><h2>Two runs side by side</h2>'
        f'<div class="tools">{choices}</div><div id="compared" class="wide" tabindex="0" role="region" '
        f'aria-label="Two runs side by side" data-rungs="{escape(json.dumps(rungs))}" '
        f'data-scale="{100 if style.percent else 1}" data-digits="{len(digits)}"></div>'
        '<p id="pairing" class="dim"></p></section>'
    )


def _closed(closed: Sequence[tuple[str, str]]) -> str:
    if not closed:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(reason)}</td></tr>' for name, reason in closed
    )
    return section(
        "Could not be read",
        '<div class="wide" tabindex="0" role="region" aria-label="Could not be read"><table><thead><tr>'
        '<th scope="col">folder</th><th scope="col">reason</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div>",
    )
