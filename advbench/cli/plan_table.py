"""What a sweep would do: its cells, how far they are, and how long the rest takes."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advbench.errors import reason_of
from advbench.jobs.sweep.cells import Cell
from advbench.jobs.sweep.estimate import Estimates, spoken
from advbench.jobs.sweep.folder import Planned
from advbench.reports.grid import MISSING

_TITLES = ("model", "threat", "attack", "defense", "state", "at most")


class _Line(NamedTuple):
    """A cell, how far it is, and what it costs; a reason where that cannot be told."""

    cell: Cell
    state: str
    seconds: float | None
    reason: str
    command: list[str]


def print_plan(planned: Sequence[Planned], cells: Sequence[Cell], home: Path, *, as_json: bool) -> None:
    """Print the cells in the order of the table, with the time that each takes at most."""
    estimates = Estimates()
    lines = {cell.key: _line(cell, job, home, estimates) for job in planned for cell in job.run.cells}
    ordered = [lines[cell.key] for cell in cells]
    if as_json:
        sys.stdout.write(json.dumps(list(map(_entry, ordered)), indent=2, ensure_ascii=False) + "\n")
        return
    _print(ordered, len(planned))


def _line(cell: Cell, planned: Planned, home: Path, estimates: Estimates) -> _Line:
    seconds, reason = 0.0 if planned.state == "done" else None, ""
    if seconds is None:
        try:
            seconds = estimates.seconds(cell)
        except Exception as error:  # the user's model may raise anything
            reason = reason_of(error)
    return _Line(cell, planned.state, seconds, reason, planned.run.words(home))


def _print(lines: Sequence[_Line], runs: int) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for title in _TITLES:
        table.add_column(title, overflow="fold", justify="right" if title == "at most" else "left")
    for line in lines:
        cell = line.cell
        time = MISSING if line.seconds is None else spoken(line.seconds)
        words = (cell.model, f"{cell.threat.norm} {cell.threat.text}", cell.attack, cell.defense)
        table.add_row(*map(Text, (*words, line.state, "" if line.state == "done" else time)))
    console = Console()
    console.print(table)
    left = [line for line in lines if line.state != "done"]
    if not left:
        console.print(f"\n{len(lines)} cells in {runs} runs, all of them done.", style="dim", highlight=False)
        return
    known = sum(line.seconds for line in left if line.seconds is not None)
    console.print()
    sentences = [
        f"{len(lines)} cells in {runs} runs, {len(left)} to do: their attacks take about {spoken(known)} at "
        "most, by a probe of each model and as if every image stood to the end; loading, judging and "
        "searches for substitutes come on top."
    ]
    if any(line.seconds is None for line in left):
        sentences.append(f"{MISSING}: not known, and not counted.")
    sentences += dict.fromkeys(
        f"{MISSING} ({line.cell.model}): {line.reason}" for line in left if line.reason
    )
    console.print(Text("\n".join(sentences), style="dim"))


def _entry(line: _Line) -> dict[str, Any]:
    names = ("model", "dataset", "norm", "eps", "defense", "attack")
    return {
        **dict(zip(names, line.cell.key, strict=True)),
        "state": line.state,
        "seconds": line.seconds,
        "reason": line.reason,
        "command": line.command,
    }
