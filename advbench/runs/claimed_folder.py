"""A folder that one process at a time writes to, and that says in a JSON file what is in it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from advbench.errors import RunFolderError
from advbench.files import FolderLock, write_whole
from advbench.runs.manifest import MANIFEST


@dataclass
class ClaimedFolder:
    """What the folders of runs, trainings and sweeps share; abstract, as a folder is one of these.

    Args:
        path: the folder.
        manifest: what its JSON file says.
        lock: keeps another process from writing here at the same time; gone with the process.
        file_name: of the JSON file.
    """

    path: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    lock: FolderLock | None = None
    file_name: str = MANIFEST

    @property
    def account(self) -> Path:
        """The JSON file in which the folder says what is in it."""
        return self.path / self.file_name

    def update(self, **entries: Any) -> None:
        """Write the JSON file anew with more entries."""
        self.manifest.update(entries)
        write_whole(self.account, f"{json.dumps(self.manifest, indent=2)}\n".encode())

    def release(self) -> None:
        """Let others write here; once is enough."""
        if self.lock is not None:
            self.lock.release()


@contextmanager
def claiming(path: Path | None, whose: str = "run") -> Iterator[None]:
    """Say in a sentence what keeps a folder from being claimed.

    Args:
        path: the folder; None for a new one.
        whose: what else may be writing there: a run, a sweep.

    Raises:
        RunFolderError: another process writes there, or the folder cannot be written to.
    """
    try:
        yield
    except BlockingIOError:
        raise RunFolderError(f"{path} is being written by another {whose}; give another --out.") from None
    except OSError as error:
        raise RunFolderError(f"cannot write to {path or 'runs/'}: {error.strerror}.") from error


@contextmanager
def looking_into(path: Path) -> Iterator[None]:
    """Refuse what can be no folder to write to, and say what keeps one from being looked into.

    Args:
        path: the folder, which need not exist.

    Raises:
        RunFolderError: not a folder, or one that cannot be read.
    """
    try:
        if any(place.exists() and not place.is_dir() for place in (path, *path.parents)):
            raise RunFolderError(f"--out {path} is not a folder.")
        yield
    except OSError as error:
        raise RunFolderError(f"--out {path} cannot be used: {error.strerror}.") from error


def new_dated_folder(label: str) -> Path:
    """Make a folder that nothing else has; two that begin in the same second get different ones."""
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
