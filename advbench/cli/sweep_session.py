"""One `advbench sweep`, from its file to one table."""

import dataclasses
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from rich.console import Console

from advbench.cli.aside import say_aside
from advbench.cli.carrying import Carried, carried_from
from advbench.cli.formats import HTML, formats_of
from advbench.cli.ranks import Ranks, join_ranks
from advbench.cli.reasons import reason_of
from advbench.cli.report_page import write_page
from advbench.cli.session import perform
from advbench.cli.stopping import asked_to_stop
from advbench.cli.sweep_cells import Cell, Run, make_cells
from advbench.cli.sweep_estimate import spoken
from advbench.cli.sweep_file import Grid, read_grid
from advbench.cli.sweep_folder import (
    RUNS,
    Planned,
    SweepFolder,
    check_sweep_free,
    open_sweep_folder,
    plan_runs,
)
from advbench.cli.sweep_plan import print_plan
from advbench.cli.voice import one_voice
from advbench.errors import InputError, RunError, RunFolderError
from advbench.jobs.settings.sweep import SweepSettings
from advbench.reports import print_table, render
from advbench.reports.formats import FILE_NAMES, Format
from advbench.results.records import UNDEFENDED, Row
from advbench.runs.provenance import commits, versions
from advbench.runs.read import FinishedRun, read_finished_run
from advbench.speed.memory import release_memory


def run(options: SweepSettings, grid: Grid | None = None) -> None:
    """Fill every cell of a grid.

    Args:
        options: the words of the command.
        grid: read from the options' file by default.

    Raises:
        InputError: a fault in the file, with its line; nothing is computed or written then.
        RunError: some cells have failed; the others stand in the table.
        KeyboardInterrupt: it was asked to stop; what was finished is kept.
    """
    ranks = join_ranks()
    with one_voice(ranks):
        if ranks.count > 1:
            raise InputError(
                "a sweep runs in one process. Start it without torchrun, or start its runs one by one with "
                "it: advbench sweep --dry-run --json has their commands."
            )
        _run(options, grid or read_grid(options.file or Path()))


class _Outcome(NamedTuple):
    """What became of a cell: its row, where that comes from, and the folder of its run."""

    row: Row
    origin: Mapping[str, str]
    run: str


@dataclass
class _Sweep:
    """A sweep under way."""

    options: SweepSettings
    formats: Sequence[Format]
    cells: Sequence[Cell]
    folder: SweepFolder
    console: Console
    is_curve: bool = False
    began: float = field(default_factory=time.monotonic)
    filled: int = 0
    outcomes: dict[tuple[str, ...], _Outcome] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Say something on stderr."""
        if not self.options.quiet:
            self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def _run(options: SweepSettings, grid: Grid) -> None:
    asked = formats_of(options.formats, [*FILE_NAMES, HTML])
    formats = [cast("Format", each) for each in asked if each != HTML]
    cells = make_cells(grid)
    if options.out is not None:
        check_sweep_free(options.out, overwrite=options.overwrite)
    if options.dry_run:
        home = (options.out or Path(RUNS, f"sweep-{grid.name}")) / RUNS
        planned = plan_runs(cells, home, anew=options.overwrite)
        print_plan(planned, cells, home, as_json=options.json)
        return
    folder = open_sweep_folder(
        options.out, f"sweep-{grid.name}", _manifest(options, grid), overwrite=options.overwrite
    )
    sweep = _Sweep(options, formats, cells, folder, Console(stderr=True), grid.is_curve)
    try:
        with asked_to_stop(sweep.note) as stopping:
            planned = plan_runs(cells, folder.runs, anew=options.overwrite)
            _announce(sweep, planned)
            for number, each in enumerate(sorted(planned, key=partial(_turn, sweep)), start=1):
                stopping.check()
                _fill(sweep, each.run, f"[{number}/{len(planned)}] ", done=each.state == "done")
                _write(sweep, "running")
        failed = _write(sweep, "done")
    except BaseException as error:
        if not isinstance(error, RunError):  # a disk that is full takes no last word either
            folder.update(status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    finally:
        folder.release()
    if HTML in asked:  # the sweep is done and whole, whatever becomes of its page
        write_page(folder.path, options.style)
    _show(sweep)
    if failed:
        raise RunError(f"{len(failed)} of {len(cells)} cells failed, the first: {failed[0].error}")


def _turn(sweep: _Sweep, planned: Planned) -> tuple[bool, float]:
    """The order of the runs: what is done first, and along a curve the smaller radii first."""
    return planned.state != "done", planned.run.cells[0].threat.eps if sweep.is_curve else 0.0


def _fill(sweep: _Sweep, run: Run, part: str, *, done: bool = False) -> None:
    """Fill the cells of a run; where it fails, those of smaller runs, down to single cells."""
    try:
        found = _read(sweep, run) if done else None
        if found is None:
            found = _perform(sweep, run, part)
    except Exception as error:
        if sweep.options.debug:
            traceback.print_exception(error)
        reason = reason_of(error)
    else:
        _keep(sweep, run, found)
        return
    release_memory()  # the error is gone here, and with its frames the tensors that filled the memory
    parts = run.split()
    if len(parts) == 1:
        _fail(sweep, run, reason)
        return
    sweep.note(f"{part}failed: {reason} Its cells are tried in halves.")
    first, second = parts
    _fill(sweep, first, part)
    if _all_failed(sweep, first, reason):
        _fail(sweep, second, reason)  # it is the model, the data or the threat
    else:
        _fill(sweep, second, part)


def _perform(sweep: _Sweep, run: Run, part: str) -> FinishedRun:
    options = run.options(sweep.folder.runs, overwrite=sweep.options.overwrite)
    done = perform(
        dataclasses.replace(options, quiet=sweep.options.quiet),
        Ranks(),
        part=part,
        carried=_carried(sweep, run),
    )
    assert done is not None
    sweep.filled += len(run.cells)
    left = len(sweep.cells) - len(sweep.outcomes) - len(run.cells)
    if left:
        seconds = (time.monotonic() - sweep.began) / sweep.filled * left
        sweep.note(f"{part}done; {left} of {len(sweep.cells)} cells left, about {spoken(seconds)}")
    return FinishedRun(done.found.rows, done.origin)


def _carried(sweep: _Sweep, run: Run) -> Carried | None:
    """What the runs of smaller radii have felled, along a curve."""
    if not sweep.is_curve:
        return None
    here = run.cells[0]
    folders = {
        sweep.folder.runs / outcome.run: cell.threat.eps
        for cell in sweep.cells
        if (outcome := sweep.outcomes.get(cell.key)) is not None and not outcome.row.error
        if cell.threat.norm == here.threat.norm and cell.threat.eps < here.threat.eps
        if cell.identity_beside_radius == here.identity_beside_radius
    }
    return carried_from(sorted(folders, key=folders.__getitem__))


def _read(sweep: _Sweep, run: Run) -> FinishedRun | None:
    """What an earlier start has found; None where its files are damaged, and so to be made again."""
    try:
        return read_finished_run(sweep.folder.runs / run.folder)
    except RunFolderError as error:
        sweep.note(f"{error} It is done again from its parts.")
        return None


def _keep(sweep: _Sweep, run: Run, found: FinishedRun) -> None:
    rows = {(row.defense, row.attack): row for row in found.rows}
    for cell in run.cells:
        row = dataclasses.replace(rows[cell.defense, cell.attack], model=cell.model)
        sweep.outcomes[cell.key] = _Outcome(row, found.origin, run.folder)


def _fail(sweep: _Sweep, run: Run, reason: str) -> None:
    for cell in run.cells:
        sweep.outcomes[cell.key] = _Outcome(cell.failed(reason), {}, run.folder)
        sweep.note(f"failed: {cell.model}, {cell.defense}, {cell.attack}: {reason}")


def _all_failed(sweep: _Sweep, run: Run, reason: str) -> bool:
    undefended = any(cell.defense == UNDEFENDED for cell in run.cells)
    return undefended and all(sweep.outcomes[cell.key].row.error == reason for cell in run.cells)


def _write(sweep: _Sweep, status: str) -> list[Row]:
    """Write the tables as far as they go, and `sweep.json`; returns the rows that failed."""
    outcomes = [sweep.outcomes[cell.key] for cell in sweep.cells if cell.key in sweep.outcomes]
    rows = [each.row for each in outcomes]
    for form in sweep.formats:
        text = render(rows, form, [each.origin for each in outcomes], sweep.options.style)
        sweep.folder.write_text(FILE_NAMES[form], text)
    sweep.folder.update(
        status=status,
        finished=_now() if status == "done" else None,
        cells=[_account(cell, sweep.outcomes.get(cell.key)) for cell in sweep.cells],
    )
    return [row for row in rows if row.error]


def _account(cell: Cell, outcome: _Outcome | None) -> dict[str, Any]:
    names = ("model", "dataset", "norm", "eps", "defense", "attack")
    state = "to do" if outcome is None else "failed" if outcome.row.error else "done"
    return {
        **dict(zip(names, cell.key, strict=True)),
        "status": state,
        "run": None if outcome is None or outcome.row.error else f"{RUNS}/{outcome.run}",
        "error": outcome.row.error or None if outcome else None,
    }


def _manifest(options: SweepSettings, grid: Grid) -> dict[str, Any]:
    return {
        "status": "running",
        "started": _now(),
        "command": list(options.command),
        "file": str(grid.file or grid.name),
        "sha256": grid.digest,
        "versions": versions(),
        "commits": commits(),
    }


def _announce(sweep: _Sweep, planned: Sequence[Planned]) -> None:
    there = sum(len(each.run.cells) for each in planned if each.state == "done")
    begun = sum(each.state == "begun" for each in planned)
    notes = [f"{there} done already"] * (there > 0) + [f"{begun} runs go on"] * (begun > 0)
    sweep.note(", ".join([f"{len(sweep.cells)} cells in {len(planned)} runs", *notes]))


def _show(sweep: _Sweep) -> None:
    outcomes = [sweep.outcomes[cell.key] for cell in sweep.cells]
    rows = [each.row for each in outcomes]
    if sweep.options.json:
        sys.stdout.write(render(rows, "json", [each.origin for each in outcomes], sweep.options.style))
        say_aside(rows)
    else:
        print_table(rows, Console(), sweep.options.style)
    sweep.note(f"written to {sweep.folder.path}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
