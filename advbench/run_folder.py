"""A run's files: `run.json`, `parts/*.parquet`, `samples.parquet` and the tables, each written whole."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from advbench.errors import RunError, RunFolderError

MANIFEST = "run.json"

_FILES = (MANIFEST, "samples.parquet", "table.csv", "table.md", "table.json", "parts/*.parquet")
"""What a run writes, and so what another run may replace only when it is told to."""


@dataclass
class RunFolder:
    """The folder that one run writes to.

    Args:
        path: the folder.
        manifest: what `run.json` says.
        parts: how many part files have been written.
    """

    path: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    parts: int = 0

    def update(self, **entries: Any) -> None:
        """Write `run.json` anew with more entries."""
        self.manifest.update(entries)
        self.write_text(MANIFEST, json.dumps(self.manifest, indent=2) + "\n")

    def add_part(self, samples: pd.DataFrame) -> None:
        """Keep the records of one batch and rung; a crash after this line does not lose them."""
        self.write_samples(f"parts/{self.parts:06d}.parquet", samples)
        self.parts += 1

    def write_samples(self, name: str, samples: pd.DataFrame) -> None:
        """Write records as a parquet file."""
        _write_whole(self.path / name, samples.to_parquet(index=False))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        _write_whole(self.path / name, text.encode())

    def discard(self) -> None:
        """Take back a run that found nothing: its files, and its folders where nothing else is in them."""
        for file in _present(self.path):
            file.unlink()
        for folder in (self.path / "parts", self.path):
            if not any(folder.iterdir()):
                folder.rmdir()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot take a run, before anything is computed or written.

    Args:
        path: the folder, which need not exist.
        overwrite: whether a run's files there may be replaced.

    Raises:
        RunFolderError: not a folder, or one that holds another run or files of the same names.
    """
    if any(each.exists() and not each.is_dir() for each in (path, *path.parents)):
        raise RunFolderError(f"--out {path} is not a folder.")
    found = next(_present(path), None)
    if found is not None and not overwrite:
        raise RunFolderError(
            f"{path} already holds another run ({found.relative_to(path)}). Give another --out, or "
            "--overwrite to replace it."
        )


def open_folder(path: Path | None, label: str, manifest: Mapping[str, Any]) -> RunFolder:
    """Create the folder and write its first `run.json`; the files of a run that is replaced are removed.

    Args:
        path: the folder; None for a new dated one under `runs/`.
        label: what is run, for the name of a dated folder.
        manifest: what `run.json` says at first.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    try:
        folder = RunFolder(_new_dated_folder(label) if path is None else path)
        (folder.path / "parts").mkdir(parents=True, exist_ok=True)
        for old in _present(folder.path):
            old.unlink()
    except OSError as error:
        raise RunFolderError(f"cannot write to {path or 'runs/'}: {error.strerror}.") from error
    folder.update(**manifest)
    return folder


def _new_dated_folder(label: str) -> Path:
    """Make a folder that no other run has; two that begin in the same second get different ones."""
    stamp = f"{datetime.now(UTC).astimezone():%Y-%m-%dT%H-%M-%S}"
    name = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.")[:40]
    Path("runs").mkdir(exist_ok=True)
    number = 1
    while True:
        path = Path("runs") / (f"{stamp}-{name}" if number == 1 else f"{stamp}-{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _present(path: Path) -> Iterator[Path]:
    """The files of a run that are there, with those that a crash left half-written."""
    for pattern in _FILES:
        home, name = path / Path(pattern).parent, Path(pattern).name
        yield from home.glob(name)
        yield from home.glob(f".{name}.*.partial")


def _write_whole(path: Path, contents: bytes) -> None:
    """Write a file so that at every moment it is either absent, the old one, or complete."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}. What was finished before is kept.") from error
