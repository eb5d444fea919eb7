"""A sweep's folder: `sweep.json`, the merged tables, and a folder under `runs/` for each run.

Which cells are done is read from the runs' own folders and from nothing else, so that a sweep whose file has
grown, or whose own files are lost, goes on all the same.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from advbench.errors import RunFolderError
from advbench.files import FolderLock, half_written, sha256, write_whole
from advbench.jobs.sweep.cells import Cell, Run, make_runs
from advbench.reports.formats import FILE_NAMES
from advbench.results.records import UNDEFENDED
from advbench.runs.claimed_folder import ClaimedFolder, claiming, looking_into, new_dated_folder
from advbench.runs.manifest import MANIFEST, entry, read_manifest

SWEEP: Final = "sweep.json"
RUNS: Final = "runs"

_NAME = re.compile(r".*-(?P<identity>[0-9a-f]{8})-[0-9a-f]{8}")


@dataclass
class SweepFolder(ClaimedFolder):
    """The folder that one sweep writes to, which says in `sweep.json` what is in it."""

    file_name: str = SWEEP

    @property
    def runs(self) -> Path:
        """Where the folders of the runs are."""
        return self.path / RUNS

    def write_text(self, name: str, text: str) -> None:
        """Write a table."""
        contents = text.encode()
        write_whole(self.path / name, contents)
        self.manifest.setdefault("files", {})[name] = hashlib.sha256(contents).hexdigest()


def open_sweep_folder(
    path: Path | None, label: str, manifest: Mapping[str, Any], *, overwrite: bool
) -> SweepFolder:
    """Create the folder and write its first `sweep.json`, or go on with what a sweep has left there.

    Args:
        path: the folder; None for a new dated one under `runs/`.
        label: what is run, for the name of a dated folder.
        manifest: what `sweep.json` says at first.
        overwrite: whether the tables of something else may be replaced.

    Raises:
        RunFolderError: the folder cannot be written, or holds something that is no sweep.
    """
    with claiming(path, "sweep"):
        folder = SweepFolder(new_dated_folder(label) if path is None else path, dict(manifest))
        check_sweep_free(folder.path, overwrite=overwrite)
        folder.runs.mkdir(parents=True, exist_ok=True)
        folder.lock = FolderLock(folder.path)
        for half in half_written(folder.path):
            half.unlink()
    folder.update()
    return folder


def check_sweep_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot take a sweep, before anything is computed or written.

    Raises:
        RunFolderError: not a folder, or one that holds a run, or files of a sweep's names.
    """
    with looking_into(path):
        names = [name for name in (MANIFEST, *FILE_NAMES.values()) if (path / name).exists()]
        is_sweep = (path / SWEEP).exists()
    if MANIFEST in names:
        raise RunFolderError(f"{path} holds a run, no sweep. Give another --out.")
    if names and not is_sweep and not overwrite:
        raise RunFolderError(f"{path} holds {names[0]}, but no sweep. Give another --out, or --overwrite.")


class Planned(NamedTuple):
    """A run, and how far it has come: `done`, `begun` or `to do`."""

    run: Run
    state: str


def plan_runs(cells: Sequence[Cell], home: Path, *, anew: bool = False) -> list[Planned]:
    """The runs that fill the cells, in their order: those that are there already, and new ones for the rest.

    Args:
        cells: every cell of the sweep.
        home: where the folders of runs are, if there are any.
        anew: whether what is there counts for nothing.
    """
    left = {cell.key: cell for cell in cells}
    planned = []
    existing_runs = (
        [] if anew else sorted(_existing_runs(home), key=lambda existing_run: not existing_run.done)
    )
    checkpoints: dict[Path, str] = {}
    for existing_run in existing_runs:
        run_cells = [cell for cell in left.values() if existing_run.holds(cell)]
        if not run_cells or not (existing_run.done or existing_run.fills_only(run_cells)):
            continue
        done = existing_run.done and _has_weights(existing_run, run_cells[0], checkpoints)
        run = Run(run_cells, existing_run.defenses, existing_run.attacks, existing_run.name)
        planned.append(Planned(run, "done" if done else "begun"))
        for cell in run_cells:
            del left[cell.key]
    planned += [Planned(run, "to do") for run in make_runs(list(left.values()))]
    order = {cell.key: number for number, cell in enumerate(cells)}
    return sorted(planned, key=lambda planned_run: order[planned_run.run.cells[0].key])


class _ExistingRun(NamedTuple):
    """A run's folder that is there, and which cells it is for."""

    name: str
    identity: str
    defenses: tuple[str, ...]
    attacks: tuple[str, ...]
    done: bool
    checkpoint: str | None

    def holds(self, cell: Cell) -> bool:
        """Whether a cell's numbers come from here."""
        return (
            cell.identity == self.identity
            and cell.defense in (UNDEFENDED, *self.defenses)
            and cell.attack in self.attacks
        )

    def fills_only(self, cells: Sequence[Cell]) -> bool:
        """Whether nothing but these cells, and the undefended model, is left to be done here."""
        wanted = {(cell.defense, cell.attack) for cell in cells}
        return all((defense, attack) in wanted for defense in self.defenses for attack in self.attacks)


def _existing_runs(home: Path) -> Iterator[_ExistingRun]:
    for path in sorted(home.glob("*/")):
        named = _NAME.fullmatch(path.name)
        try:
            manifest = read_manifest(path)
        except RunFolderError:
            continue
        defenses, attacks = (entry(manifest, "settings", axis) for axis in ("defenses", "attacks"))
        if named and isinstance(defenses, Mapping) and isinstance(attacks, Mapping):
            yield _ExistingRun(
                name=path.name,
                identity=named["identity"],
                defenses=tuple(defenses),
                attacks=tuple(attacks),
                done=manifest.get("status") == "done",
                checkpoint=entry(manifest, "checkpoint", "sha256"),
            )


def _has_weights(existing_run: _ExistingRun, cell: Cell, known: dict[Path, str]) -> bool:
    """Whether a run that is done was done with the weights that the cell's checkpoint holds now."""
    if "checkpoint" not in cell.shared:
        return True
    path = Path(cell.shared["checkpoint"])
    if path not in known:
        known[path] = sha256(path)
    return existing_run.checkpoint == known[path]
