"""What `advbench report` reads: runs, and sweeps of runs, back from their folders, without a model."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from advbench.errors import RunFolderError
from advbench.regular_files import read_regular
from advbench.results.records import Row, SoFar
from advbench.results.table import rows_of
from advbench.runs.manifest import MANIFEST
from advbench.runs.provenance import origin_of
from advbench.runs.read import Records, read_records
from advbench.runs.read_unfinished import rows_so_far
from advbench.runs.typed_json import Where, read_as

from .baseline import Side

SWEEP: Final = "sweep.json"
_LARGEST: Final = 64 << 20  # bytes of a sweep.json
_TRAITS: Final = ("model", "dataset", "norm", "eps", "defense", "attack")


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A row of a sweep's table, as `sweep.json` has it."""

    model: str
    dataset: str
    norm: str
    eps: str
    defense: str
    attack: str
    status: str | None = None
    run: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The rows of a sweep's table; None before there are any."""

    cells: tuple[Any, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ReportedRun:
    """A run, and the rows that a report takes from it.

    Args:
        path: its folder.
        name: what tells it from the others.
        rows: of its table, or of a sweep's.
        records: what it wrote down.
    """

    path: Path
    name: str
    rows: tuple[Row, ...]
    records: Records

    @property
    def is_done(self) -> bool:
        """Whether the run has come to its end."""
        return self.records.manifest.is_done

    @property
    def origin(self) -> dict[str, str]:
        """Where its rows come from."""
        return origin_of(self.records.manifest.values)

    @property
    def side(self) -> Side:
        """The run as one side of a comparison."""
        return Side(
            name=self.name,
            rows=self.rows,
            samples=self.records.samples,
            fingerprint=self.records.manifest.fingerprint,
        )


@dataclass(frozen=True)
class Merged:
    """The rows of several runs as one table.

    Args:
        rows: without repetitions; the models of runs that would be confused bear the run's name.
        runs: whose each is; None where it has no numbers.
    """

    rows: list[Row]
    runs: list[ReportedRun | None]

    @property
    def origins(self) -> list[Mapping[str, str]]:
        """Where each row comes from."""
        return [{} if run is None else run.origin for run in self.runs]


def read_runs(
    paths: Sequence[Path], read: Callable[[Path], Records] = read_records
) -> tuple[list[ReportedRun], list[Row]]:
    """The runs of the folders, a sweep's one by one, and the rows of sweeps that have no numbers (yet).

    Args:
        paths: the folders.
        read: gives the records of a run's folder; by default of one that is done, and of no other.

    Raises:
        RunFolderError: a folder without a finished run, or one that is not as the run wrote it.
    """
    runs: list[ReportedRun] = []
    failed: list[Row] = []
    names = [path.resolve().name for path in paths]
    for path, name in zip(paths, names, strict=True):
        shown = name if names.count(name) == 1 else str(path)
        if is_sweep(path):
            sweep_runs, rest = _read_sweep(path, shown)
            runs += sweep_runs
            failed += rest
        else:
            records = read(path)
            done = records.manifest.is_done
            rows = rows_of(records.samples, records.heading) if done else rows_so_far(records)
            runs.append(ReportedRun(path=path, name=shown, rows=rows, records=records))
    return runs, failed


def merge_rows(runs: Sequence[ReportedRun], failed: Sequence[Row]) -> Merged:
    """One table of all runs: the same row of the same images once, and no two rows with the same names."""
    seen: dict[tuple[str, ...], tuple[Row, str]] = {}
    clashing: set[str] = set()
    for run in runs:
        for row in run.rows:
            earlier = seen.setdefault(_key(row), (row, run.name))
            if earlier[1] != run.name and earlier[0] != row:
                clashing |= {earlier[1], run.name}
    merged: dict[tuple[str, ...], tuple[Row, ReportedRun | None]] = {}
    for run in runs:
        for row in run.rows:
            named = (
                dataclasses.replace(row, model=f"{row.model} ({run.name})") if run.name in clashing else row
            )
            merged.setdefault(_key(named), (named, run))
    for row in failed:
        merged.setdefault(_key(row), (row, None))
    return Merged([row for row, _ in merged.values()], [run for _, run in merged.values()])


def _key(row: Row) -> tuple[str, ...]:
    return tuple(getattr(row, name) for name in _TRAITS)


def _read_sweep(path: Path, name: str) -> tuple[list[ReportedRun], list[Row]]:
    """The runs of a sweep with the rows that its table has of each; `sweep.json` may have been forged."""
    cells = _cells(path)
    runs = []
    for folder in dict.fromkeys(cell.run or "" for cell in cells if cell.status == "done"):
        if Path(folder).parts[:1] != ("runs",) or len(Path(folder).parts) != 2 or ".." in folder:
            raise RunFolderError(f"{path / SWEEP} names a run outside of its folder: {folder!r:.60}.")
        records = read_records(path / folder)
        rows = {(row.defense, row.attack): row for row in rows_of(records.samples, records.heading)}
        own = [cell for cell in cells if cell.run == folder]
        if any((cell.defense, cell.attack) not in rows for cell in own):
            raise RunFolderError(f"{path / folder} does not hold the rows that {SWEEP} says.")
        named = [dataclasses.replace(rows[cell.defense, cell.attack], model=cell.model) for cell in own]
        runs.append(
            ReportedRun(
                path=path / folder, name=f"{name}/{Path(folder).name}", rows=tuple(named), records=records
            )
        )
    empty = [
        Row(
            model=cell.model,
            dataset=cell.dataset,
            n=0,
            defense=cell.defense,
            norm=cell.norm,
            eps=cell.eps,
            attack=cell.attack,
            rates={},
            error=cell.error or "",
            pending={} if cell.error else {"shattered": SoFar(0, 0)},
        )
        for cell in cells
        if cell.status in ("failed", "to do")
    ]
    return runs, empty


def is_sweep(path: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (path / SWEEP).is_file() and not (path / MANIFEST).exists()


def read_sweep(path: Path) -> Mapping[str, Any]:
    """What the `sweep.json` of a folder says; nothing is promised of it but that it is a dictionary.

    Raises:
        RunFolderError: it cannot be read, or is damaged.
    """
    try:
        entries: Any = json.loads(read_regular(path / SWEEP, _LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path / SWEEP} is damaged.") from error
    return entries if isinstance(entries, dict) else {}


def _cells(path: Path) -> list[_Cell]:
    cells = read_as(_Cells, read_sweep(path), Where(str(path / SWEEP)), whole=False).cells
    if cells is None:
        raise RunFolderError(f"{path / SWEEP} lists no cells: the sweep has not filled any.")
    where = Where(str(path / SWEEP), ("cells",))
    return [read_as(_Cell, cell, where.within(place), whole=False) for place, cell in enumerate(cells)]
