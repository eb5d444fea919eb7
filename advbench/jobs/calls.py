"""What `advbench attack` and `advbench sweep` do, called from Python."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advbench.errors import InputError
from advbench.jobs.call_keywords import read_keywords
from advbench.jobs.finished import Run
from advbench.jobs.left_as_found import left_as_found
from advbench.jobs.run import perform
from advbench.jobs.settings.keywords import said_in_keywords, settings_from_keywords, with_keywords
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.sweep.curve import grid_of_curve, sweep_of_curve
from advbench.jobs.sweep.file import Grid, grid_of_tables, read_grid
from advbench.jobs.sweep.finished import Sweep
from advbench.jobs.sweep.run import perform_sweep
from advbench.jobs.watcher import Watcher


@with_keywords(RunSettings)
def run(
    *,
    model: Any = None,
    data: Any = None,
    defenses: Any = (),
    attacks: Any = ("pgd",),
    gradient_free: Any = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Run:
    """Attack a classifier behind defenses, and return the table with its records.

    What `advbench attack` does, with its options as keywords, in this process alone. Nothing is printed, no
    signal is taken, and generators, threads and modules are left as they were.

    Args:
        model: a name, `package.module:factory` or `file.py:factory`; or a module from pixels `(n, c, h, w)`
            in [0, 1] to logits `(n, k)`, which stays where it is unless `device` says otherwise; or
            `{name: module}`.
        data: a data set's name (`dataset` means the same); or a pair (x, y) of images `(n, c, h, w)` in
            [0, 1] and labels `(n,)`; or any data set of (image, label) with a length; or `{name: images}`.
        defenses: a list, a row each: a word (`jpeg+round@layer2`), a `Placement`, a function on batches, or a
            tuple of these for a chain; or `{name: defense}`.
        attacks: a list, a row each: a word (`apgd:steps=50`) or an `Attack`; or `{name: attack}`.
        gradient_free: the attack of the gradient-free rung, likewise; by default `square:queries=1000`.
        surrogate: what is differentiated in place of the model: a word, a module or a function from pixels to
            logits, or `{name: such}`.
        source: what the static rung's examples are made on, likewise.
        watcher: is told how far the run has come, and may end it; by default nobody looks on.
        settings: the other options. `eps` and `step_size` may be numbers, `out` a path; without `out` the
            records go to a new dated folder under `runs/`, which the run's `path` tells.

    Returns:
        What the run found; the same call with the same `out` goes on with a run that was stopped.

    Raises:
        AdvbenchError: whatever is wrong, in one line.
    """
    given = {"model": model, "data": data, "defenses": defenses, "attacks": attacks, **settings}
    run_settings, objects = read_keywords("run", {**given, "gradient_free": gradient_free})
    if "," in (run_settings.eps or ""):
        raise InputError("a run has one eps; advbench.curve takes several.")
    with said_in_keywords(RunSettings), left_as_found():
        done = perform(run_settings, watcher=watcher, objects=objects)
    assert done is not None, "one process leads"
    return done


@with_keywords(RunSettings)
def curve(
    *,
    eps: Any,
    model: Any = None,
    data: Any = None,
    defenses: Any = (),
    attacks: Any = ("pgd",),
    gradient_free: Any = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Sweep:
    """Accuracy against the radius: what falls at one radius has fallen at every larger one.

    Args:
        eps: several radii, `[2/255, "4/255", "inf"]`.
        model: as in `run`.
        data: as in `run`.
        defenses: as in `run`.
        attacks: as in `run`.
        gradient_free: as in `run`.
        watcher: as in `run`.
        settings: the other options of `run`.

    Returns:
        A row for each radius, defense and attack, the smallest radius first; cells that failed say why.

    Raises:
        AdvbenchError: whatever is wrong, in one line.
    """
    given = {"model": model, "data": data, "defenses": defenses, "attacks": attacks, "eps": eps, **settings}
    run_settings, objects = read_keywords("curve", {**given, "gradient_free": gradient_free})
    with said_in_keywords(RunSettings), left_as_found():
        return perform_sweep(
            sweep_of_curve(run_settings), grid_of_curve(run_settings), watcher, objects=objects
        )


@with_keywords(SweepSettings)
def sweep(
    file: str | os.PathLike[str] | Mapping[str, Any] | Grid,
    *,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Sweep:
    """Run every cell of a grid of models, threats, defenses and attacks, and return one table of all.

    What `advbench sweep` does, with its options as keywords. A sweep takes words alone, so that each of its
    runs can be started again.

    Args:
        file: a TOML file; or what such a file says, as a dictionary: `defaults`, `models`, `threats`,
            `defenses`, `attacks`.
        watcher: is told how far the sweep has come, and may end it; by default nobody looks on.
        settings: the options.

    Returns:
        A row a cell. Cells that failed do not end the sweep: they are its `failed`, and each says why.

    Raises:
        AdvbenchError: a fault in the grid, with its place; nothing is computed or written then.
    """
    if "dry_run" in settings or "schema" in settings:
        raise InputError("dry_run and schema belong to the command line: advbench sweep --help.")
    path = file if isinstance(file, str | os.PathLike) else None
    sweep_settings = settings_from_keywords(SweepSettings, "sweep", {"file": path, **settings})
    with said_in_keywords(SweepSettings), left_as_found():
        grid = read_grid(Path(path)) if path is not None else _grid(file)
        return perform_sweep(sweep_settings, grid, watcher)


def _grid(given: Any) -> Grid:
    if isinstance(given, Grid):
        return given
    if not isinstance(given, Mapping):
        raise InputError(f"a sweep is a file or a dictionary, got {type(given).__name__}.")
    return grid_of_tables(given)
