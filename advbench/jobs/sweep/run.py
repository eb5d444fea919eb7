"""One sweep, from its grid to one table."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from advbench.errors import RunError, RunFolderError, reason_of
from advbench.jobs.carry_over import Carried, carried_from
from advbench.jobs.objects import NO_OBJECTS, Objects
from advbench.jobs.report_page import write_page
from advbench.jobs.run import perform
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.watcher import PartWatcher, Unwatched, Watcher, check_stop
from advbench.reports import render
from advbench.reports.formats import FILE_NAMES, HTML, Format, formats_of
from advbench.results.records import UNDEFENDED
from advbench.runs.provenance import commits, now, versions
from advbench.runs.read import FinishedRun, read_finished_run
from advbench.speed.memory import release_memory

from .cells import Cell, Run, make_cells
from .estimate import spoken
from .file import Grid
from .finished import Outcome, Sweep
from .folder import RUNS, Planned, SweepFolder, check_sweep_free, open_sweep_folder, plan_runs


class SweepPlan(NamedTuple):
    """What a sweep would do."""

    runs: Sequence[Planned]
    cells: Sequence[Cell]
    home: Path
    """Where the folders of the runs are, or will be."""


@dataclass
class _Sweep:
    """A sweep under way."""

    settings: SweepSettings
    formats: Sequence[Format]
    cells: Sequence[Cell]
    folder: SweepFolder
    watcher: Watcher
    on_failure: Callable[[Exception], None] | None
    objects: Objects
    is_curve: bool = False
    began: float = field(default_factory=time.monotonic)
    filled: int = 0
    outcomes: dict[tuple[str, ...], Outcome] = field(default_factory=dict)


def plan_sweep(settings: SweepSettings, grid: Grid) -> SweepPlan:
    """The runs that fill a grid, and how far each has come; nothing is computed or written.

    Raises:
        InputError: a fault in the grid, or a folder that cannot take a sweep.
    """
    cells = _cells(settings, grid)
    home = (settings.out or Path(RUNS, f"sweep-{grid.name}")) / RUNS
    return SweepPlan(plan_runs(cells, home, anew=settings.overwrite), cells, home)


def perform_sweep(
    settings: SweepSettings,
    grid: Grid,
    watcher: Watcher | None = None,
    *,
    on_failure: Callable[[Exception], None] | None = None,
    objects: Objects = NO_OBJECTS,
) -> Sweep:
    """Fill every cell of a grid, print nothing, and return the table; cells that fail do not end the sweep.

    Args:
        settings: what the sweep is told beside its grid.
        grid: what is to be filled.
        watcher: is told how far the sweep has come, and may end it; nobody by default.
        on_failure: is given what a run raised, before its cells are tried in halves.
        objects: what every run is given as objects, under the names that the grid has.

    Raises:
        InputError: a fault in the grid, with its line; nothing is computed or written then.
        KeyboardInterrupt: it was asked to stop; what was finished is kept.
    """
    watcher = Unwatched() if watcher is None else watcher
    asked = formats_of(settings.formats, [*FILE_NAMES, HTML])
    formats = [cast("Format", name) for name in asked if name != HTML]
    cells = _cells(settings, grid, objects)
    folder = open_sweep_folder(
        settings.out, f"sweep-{grid.name}", _manifest(settings, grid), overwrite=settings.overwrite
    )
    sweep = _Sweep(settings, formats, cells, folder, watcher, on_failure, objects, grid.is_curve)
    try:
        planned = plan_runs(cells, folder.runs, anew=settings.overwrite)
        _announce(sweep, planned)
        for number, plan in enumerate(sorted(planned, key=partial(_turn, sweep)), start=1):
            check_stop(watcher)
            part = PartWatcher(watcher, f"[{number}/{len(planned)}] ")
            _fill(sweep, plan.run, part, done=plan.state == "done")
            _write(sweep, "running")
        _write(sweep, "done")
    except BaseException as error:
        if not isinstance(error, RunError):  # a disk that is full takes no last word either
            folder.update(status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    finally:
        folder.release()
    if HTML in asked:  # the sweep is done and whole, whatever becomes of its page
        write_page(folder.path, settings.style)
    return Sweep(
        folder.path, dict(folder.manifest), tuple(sweep.outcomes[cell.key] for cell in cells), settings.style
    )


def _cells(settings: SweepSettings, grid: Grid, objects: Objects = NO_OBJECTS) -> list[Cell]:
    """Every cell, looked up, and the folder seen to be free."""
    formats_of(settings.formats, [*FILE_NAMES, HTML])
    cells = make_cells(grid, objects)
    if settings.out is not None:
        check_sweep_free(settings.out, overwrite=settings.overwrite)
    return cells


def _turn(sweep: _Sweep, planned: Planned) -> tuple[bool, float]:
    """The order of the runs: what is done first, and along a curve the smaller radii first."""
    return planned.state != "done", planned.run.cells[0].threat.eps if sweep.is_curve else 0.0


def _fill(sweep: _Sweep, run: Run, part: PartWatcher, *, done: bool = False) -> None:
    """Fill the cells of a run; where it fails, those of smaller runs, down to single cells."""
    try:
        finished_run = _read(sweep, run) if done else None
        if finished_run is None:
            finished_run = _perform(sweep, run, part)
    except Exception as error:
        if sweep.on_failure is not None:
            sweep.on_failure(error)
        reason = reason_of(error)
    else:
        _keep(sweep, run, finished_run)
        return
    release_memory()  # the error is gone here, and with its frames the tensors that filled the memory
    parts = run.split()
    if len(parts) == 1:
        _fail(sweep, run, reason)
        return
    part.note(f"failed: {reason} Its cells are tried in halves.")
    first, second = parts
    _fill(sweep, first, part)
    if _all_failed(sweep, first, reason):
        _fail(sweep, second, reason)  # it is the model, the data or the threat
    else:
        _fill(sweep, second, part)


def _perform(sweep: _Sweep, run: Run, part: PartWatcher) -> FinishedRun:
    settings = run.options(sweep.folder.runs, overwrite=sweep.settings.overwrite)
    if sweep.objects.nameless:  # no command of its own does the same
        settings = dataclasses.replace(settings, command=sweep.settings.command)
    done = perform(settings, watcher=part, carried=_carried(sweep, run), objects=sweep.objects)
    assert done is not None, "a sweep is one process, which leads"
    sweep.filled += len(run.cells)
    left = len(sweep.cells) - len(sweep.outcomes) - len(run.cells)
    if left:
        seconds = (time.monotonic() - sweep.began) / sweep.filled * left
        part.note(f"done; {left} of {len(sweep.cells)} cells left, about {spoken(seconds)}")
    return FinishedRun(done.rows, done.origin)


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
        sweep.watcher.note(f"{error} It is done again from its parts.")
        return None


def _keep(sweep: _Sweep, run: Run, finished_run: FinishedRun) -> None:
    rows = {(row.defense, row.attack): row for row in finished_run.rows}
    for cell in run.cells:
        row = dataclasses.replace(rows[cell.defense, cell.attack], model=cell.model)
        sweep.outcomes[cell.key] = Outcome(row, finished_run.origin, run.folder)


def _fail(sweep: _Sweep, run: Run, reason: str) -> None:
    for cell in run.cells:
        sweep.outcomes[cell.key] = Outcome(cell.failed(reason), {}, run.folder)
        sweep.watcher.note(f"failed: {cell.model}, {cell.defense}, {cell.attack}: {reason}")


def _all_failed(sweep: _Sweep, run: Run, reason: str) -> bool:
    undefended = any(cell.defense == UNDEFENDED for cell in run.cells)
    return undefended and all(sweep.outcomes[cell.key].row.error == reason for cell in run.cells)


def _write(sweep: _Sweep, status: str) -> None:
    """Write the tables as far as they go, and `sweep.json`."""
    outcomes = [sweep.outcomes[cell.key] for cell in sweep.cells if cell.key in sweep.outcomes]
    rows = [outcome.row for outcome in outcomes]
    for form in sweep.formats:
        text = render(rows, form, [outcome.origin for outcome in outcomes], sweep.settings.style)
        sweep.folder.write_text(FILE_NAMES[form], text)
    sweep.folder.update(
        status=status,
        finished=now() if status == "done" else None,
        cells=[_account(cell, sweep.outcomes.get(cell.key)) for cell in sweep.cells],
    )


def _account(cell: Cell, outcome: Outcome | None) -> dict[str, Any]:
    names = ("model", "dataset", "norm", "eps", "defense", "attack")
    state = "to do" if outcome is None else "failed" if outcome.row.error else "done"
    return {
        **dict(zip(names, cell.key, strict=True)),
        "status": state,
        "run": None if outcome is None or outcome.row.error else f"{RUNS}/{outcome.run}",
        "error": outcome.row.error or None if outcome else None,
    }


def _manifest(settings: SweepSettings, grid: Grid) -> dict[str, Any]:
    return {
        "status": "running",
        "started": now(),
        "command": list(settings.command),
        **({} if settings.settings_file is None else {"settings_file": dict(settings.settings_file)}),
        "file": str(grid.file or grid.name),
        "sha256": grid.digest,
        "versions": versions(),
        "commits": commits(),
    }


def _announce(sweep: _Sweep, planned: Sequence[Planned]) -> None:
    there = sum(len(job.run.cells) for job in planned if job.state == "done")
    begun = sum(job.state == "begun" for job in planned)
    notes = [f"{there} done already"] * (there > 0) + [f"{begun} runs go on"] * (begun > 0)
    sweep.watcher.note(", ".join([f"{len(sweep.cells)} cells in {len(planned)} runs", *notes]))
