"""The page of a run, of a sweep, or of a folder that holds many: what `advbench view` shows."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from advbench.errors import AdvbenchError, InputError, RunFolderError, printable
from advbench.files import write_whole
from advbench.jobs.report_page import page_of, pictures_of
from advbench.jobs.settings.shared import style_of_words
from advbench.jobs.settings.view import ViewSettings
from advbench.jobs.watcher import Unwatched, Watcher, check_stop
from advbench.regular_files import read_if_there
from advbench.reports.document import GENERATOR
from advbench.reports.index_page import Index, IndexedRun, index_page
from advbench.reports.pictures import Picture
from advbench.reports.runs import SWEEP, is_sweep, merge_rows, read_runs
from advbench.reports.style import Style
from advbench.reports.training_runs import is_training
from advbench.runs.find import find_folders
from advbench.runs.manifest import MANIFEST

PICTURES: Final = 120
"""Of an index, over all its runs."""

PICTURED: Final = 12
"""Runs of an index whose pictures are shown; each reads its data set again."""

_LARGEST: Final = 64 << 20  # bytes of a page that may be replaced


def page_to_view(settings: ViewSettings, watcher: Watcher | None = None) -> str:
    """The page that the settings ask for, in HTML; nothing is written.

    A run's own page; a sweep's, with all its rows; else an index over every run in and below the folder.

    Args:
        settings: what is looked at.
        watcher: is told how far the index has come, and may end it.

    Raises:
        InputError: no such folder, nothing in it, or a single run that cannot be read.
    """
    watcher = watcher or Unwatched()
    style = style_of_words(None, "", percent=settings.percent, digits=settings.digits)
    folder = settings.folder
    if (folder / MANIFEST).is_file() or is_sweep(folder):
        if is_training(folder):
            raise InputError(f"{folder} is {_TRAINING}.")
        runs, failed = read_runs([folder])
        return page_of(runs, merge_rows(runs, failed), style, None, settings.data_root)
    return _index(settings, style, watcher)


def check_view(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that is somebody else's, before anything is read.

    Raises:
        RunFolderError: a folder, a file in a run's folder, or one that is no page of ours.
    """
    if any((out.parent / name).exists() for name in (MANIFEST, SWEEP)):
        raise RunFolderError(f"{out.parent} holds a run, whose files are evidence. Give another --out.")
    if out.is_dir():
        raise RunFolderError(f"{out} is a folder; --out is the file of the page.")
    if out.exists() and not overwrite and not _is_ours(out):
        raise RunFolderError(
            f"{out} is there, and is no page of advbench. Give another --out, or --overwrite."
        )


def write_view(page: str, out: Path, *, overwrite: bool) -> None:
    """Write a page to a file, whole.

    Raises:
        RunFolderError: the file is somebody else's, lies in a run's folder, or cannot be written.
    """
    check_view(out, overwrite=overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {out}: {error.strerror}.") from error
    write_whole(out, page.encode())


_TRAINING: Final = "a training, whose curves 'advbench report --figures' draws"


def _is_ours(path: Path) -> bool:
    contents = read_if_there(path, _LARGEST)
    return contents is not None and GENERATOR.encode() in contents


def _index(settings: ViewSettings, style: Style, watcher: Watcher) -> str:
    folder = settings.folder
    there = find_folders(folder, (MANIFEST, SWEEP))
    if not there.folders:
        raise InputError(f"{folder} holds no run and no sweep, and nothing below it does.")
    shelf = _Shelf(folder)
    for path, reason in there.unread:
        shelf.close(path, f"{reason}.")
    task = "reading runs"
    watcher.begin(task, len(there.folders))
    for number, path in enumerate(there.folders, 1):
        check_stop(watcher)
        shelf.open(path)
        watcher.advance(task, number)
    pictures, notes = shelf.pictures(settings.data_root)
    return index_page(
        Index(
            title=f"Runs in {folder.resolve().name or folder}",
            runs=shelf.runs,
            closed=shelf.closed,
            notes=[*there.left_out, *shelf.left_out, *notes],
            pictures=pictures,
            style=style,
        )
    )


@dataclass
class _Shelf:
    """The runs of an index, of which only what it shows is kept in memory.

    Args:
        home: the folder that is shown.
        runs: those that could be read.
        closed: the others, each with the reason.
        keeping: those that have kept examples: when each began, its folder and its name.
        left_out: why there may be more.
    """

    home: Path
    runs: list[IndexedRun] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    keeping: list[tuple[str, Path, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        """Take what a folder holds; of a sweep that cannot be read as one, its runs one by one."""
        try:
            if is_training(path):
                raise RunFolderError(f"it is {_TRAINING}.")
            self._take(path)
        except AdvbenchError as error:
            self.close(path, str(error))
            if is_sweep(path) and (path / "runs").is_dir():
                there = find_folders(path / "runs", (MANIFEST,))
                self.left_out += there.left_out
                for run in there.folders:
                    self.open(run)

    def close(self, path: Path, reason: str) -> None:
        """Note a folder that could not be read."""
        self.closed.append((self._name(path), reason))

    def pictures(self, data_root: Path | None) -> tuple[list[Picture], list[str]]:
        """Pictures of the latest runs that have kept examples, and what is not shown."""
        latest = sorted(self.keeping, reverse=True)[:PICTURED]
        shown: list[Picture] = []
        notes = []
        for _, path, name in latest:
            try:
                runs, _ = read_runs([path])
                pictures, without = pictures_of(runs, data_root, PICTURES // len(latest))
            except AdvbenchError as error:
                pictures, without = [], str(error)
            shown += [replace(picture, run=name) for picture in pictures]
            notes += [f"No pictures of {name}: {without}"] if without else []
        if len(self.keeping) > len(latest):
            notes.append(
                f"Pictures are of the latest {len(latest)} of {len(self.keeping)} runs that kept any."
            )
        return shown, notes

    def _take(self, path: Path) -> None:
        runs, failed = read_runs([path])
        for run in runs:
            started = run.records.manifest.values.get("started")
            indexed = IndexedRun(
                name=self._name(run.path),
                rows=run.rows,
                started=started if isinstance(started, str) else "",
                images=run.records.manifest.fingerprint,
            )
            self.runs.append(indexed)
            if run.records.manifest.keeps_examples:
                self.keeping.append((indexed.started, run.path, indexed.name))
        if failed:
            self.runs.append(IndexedRun(name=self._name(path), rows=failed))

    def _name(self, path: Path) -> str:
        return printable(path.relative_to(self.home).as_posix())
