"""What `advbench attack` and `advbench sweep` do: call a job, and print what it returns."""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from advbench.cli.bar import watched
from advbench.cli.plan_table import print_plan
from advbench.cli.voice import one_voice
from advbench.errors import InputError, RunError, printable
from advbench.jobs.ranks import join_ranks
from advbench.jobs.refusals import refusals
from advbench.jobs.run import perform
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.sweep.curve import grid_of_curve, sweep_of_curve
from advbench.jobs.sweep.file import Grid, read_grid
from advbench.jobs.sweep.run import perform_sweep, plan_sweep
from advbench.reports import print_table, render
from advbench.reports.formats import Origin
from advbench.reports.style import Style
from advbench.results.records import Row


def run_attack(settings: RunSettings) -> None:
    """Do what the options say; where several processes share the run, one speaks for all.

    Raises:
        AdvbenchError: whatever ended the run, or a row that `--fail-on` or `--min-robust` refuses.
        KeyboardInterrupt: it was asked to stop.
    """
    ranks = join_ranks()
    with one_voice(ranks):
        refused = refusals(settings.fail_on, settings.min_robust)
        with watched(quiet=settings.quiet, rank=ranks.rank) as bar:
            run = perform(settings, ranks, bar)
        if run is None:
            return
        _show(run.rows, run.origin, settings.style, as_json=settings.json)
        bar.note(f"written to {run.path}")
        refused.check(run.rows)


def run_curve(settings: RunSettings) -> None:
    """Attack at every radius, the smallest first.

    Raises:
        AdvbenchError: as `run_sweep`.
    """
    _sweep(sweep_of_curve(settings), lambda: grid_of_curve(settings))


def run_sweep(settings: SweepSettings) -> None:
    """Fill every cell of a file's grid.

    Raises:
        InputError: a fault in the file, with its line; nothing is computed or written then.
        RunError: some cells have failed; the others stand in the table.
        KeyboardInterrupt: it was asked to stop; what was finished is kept.
    """
    _sweep(settings, lambda: read_grid(settings.file or Path()))


def _sweep(settings: SweepSettings, make_grid: Callable[[], Grid]) -> None:
    ranks = join_ranks()
    with one_voice(ranks):
        if ranks.count > 1:
            raise InputError(
                "a sweep runs in one process. Start it without torchrun, or start its runs one by one with "
                "it: advbench sweep --dry-run --json has their commands."
            )
        grid = make_grid()
        if settings.dry_run:
            plan = plan_sweep(settings, grid)
            print_plan(plan.runs, plan.cells, plan.home, as_json=settings.json)
            return
        with watched(quiet=settings.quiet) as bar:
            sweep = perform_sweep(
                settings, grid, bar, on_failure=traceback.print_exception if settings.debug else None
            )
        _show(sweep.rows, sweep.origins, settings.style, as_json=settings.json)
        bar.note(f"written to {sweep.path}")
        if sweep.failed:
            raise RunError(
                f"{len(sweep.failed)} of {len(sweep.rows)} cells failed, the first: {sweep.failed[0].error}"
            )


def _show(rows: Sequence[Row], origin: Origin, style: Style, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(render(rows, "json", origin, style))
        _say_aside(rows)
    else:
        print_table(rows, Console(), style)


def _say_aside(rows: Sequence[Row]) -> None:
    """Write each note and each doubt of a table once to stderr; neither is hidden by `--quiet`."""
    several = len({row.model for row in rows}) > 1
    notes = [f"note{f' ({row.model})' if several else ''}: {note}." for row in rows for note in row.notes]
    doubts = [f"warning ({row.defense}): {doubt}." for row in rows for doubt in row.warnings]
    for line in dict.fromkeys([*notes, *doubts]):
        sys.stderr.write(printable(line) + "\n")
