"""Runs that are watched while they go on: when there is something new, and when they have ended."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from advbench.errors import RunError, RunFolderError
from advbench.jobs.watcher import Watcher, check_stop
from advbench.reports.runs import SWEEP, is_sweep, read_sweep
from advbench.reports.training_runs import METRICS, is_training
from advbench.runs.manifest import MANIFEST, entry, read_manifest
from advbench.runs.read import Records
from advbench.runs.read_unfinished import GrowingRun
from advbench.runs.samples import PARTS

PERIOD: Final = 1.0
"""Seconds between two looks."""

_SHARE: Final = 4
"""A rendering is followed by a rest this many times as long, so that large ones do not slow the run."""

_ENDED: Final = ("done", "interrupted", "failed")

State = tuple[tuple[str, int, int], ...]


class Watch:
    """A look at some folders every second.

    Args:
        paths: folders of runs, sweeps and trainings, which need not be there yet.
        watcher: is told what is waited for, and may end the look.
    """

    def __init__(self, paths: Sequence[Path], watcher: Watcher) -> None:
        self.paths = list(dict.fromkeys(paths))
        self.watcher = watcher
        self.runs = {path: GrowingRun(path) for path in self.paths}

    def read(self, path: Path) -> Records:
        """The records of a run's folder, as far as it has come."""
        return self.runs[path].read()

    def changes(self) -> Iterator[int]:
        """A number each time that there is something new to be shown, until every run has ended.

        Raises:
            RunError: one has ended before it was done.
            KeyboardInterrupt: the watcher asks to stop.
        """
        seen: dict[Path, State] = {}
        waited: set[Path] = set()
        number = 0
        while True:
            began = time.monotonic()
            statuses = {path: _status(path) for path in self.paths}  # before the rest: what follows is later
            states = {path: _state(path) for path in self.paths}
            absent = [path for path in self.paths if not _has_begun(path)]
            for path in absent:
                if path not in waited:
                    waited.add(path)
                    self.watcher.note(f"waiting for {path} to begin; Ctrl-C ends")
            if not absent and states != seen:
                seen = states
                yield number
                number += 1
                if line := _status_line(statuses):
                    self.watcher.note(line)
            if not absent and all(status in _ENDED for status in statuses.values()):
                break
            check_stop(self.watcher)
            time.sleep(max(PERIOD, _SHARE * (time.monotonic() - began)))
        undone = [f"{path} ({status})" for path, status in statuses.items() if status != "done"]
        if undone:
            raise RunError(f"ended before it was done: {', '.join(undone)}. The same command goes on.")


def _status_line(statuses: Mapping[Path, str]) -> str:
    done = sum(status in _ENDED for status in statuses.values())
    if done == len(statuses):
        return ""
    which = f"{done} of {len(statuses)} have ended" if len(statuses) > 1 else "the run goes on"
    return f"{time.strftime('%H:%M:%S')}: {which}; Ctrl-C ends the watch, not the run"


def _status(path: Path) -> str:
    """What a folder says of itself; '' where it is not there yet."""
    return str(_manifest_of(path).get("status") or "")


def _manifest_of(path: Path) -> Mapping[str, Any]:
    """The `run.json` or `sweep.json` of a folder; nothing where there is none yet."""
    try:
        return read_sweep(path) if is_sweep(path) else read_manifest(path)
    except RunFolderError:
        if (path / MANIFEST).is_file() or (path / SWEEP).is_file():
            raise
        return {}


def _has_begun(path: Path) -> bool:
    """Whether there is something to be shown."""
    entries = _manifest_of(path)
    if is_sweep(path):
        return isinstance(entries.get("cells"), list)
    return entry(entries, "settings", "attacks") is not None or "heading" in entries or is_training(path)


def _state(path: Path) -> State:
    """What differs when a folder has come further."""
    files = [path / MANIFEST, path / SWEEP, *path.glob(f"*/{METRICS}"), *(path / PARTS).glob("*.parquet")]
    stamps = []
    for file in sorted(files):
        with suppress(OSError):
            stat = file.stat()
            stamps.append((str(file), stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)
