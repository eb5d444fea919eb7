"""Files that at every moment are absent, the old ones, or complete."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from advbench.errors import RunError


def write_whole(path: Path, contents: bytes) -> None:
    """Write a file beside its name, bring it to the disk, and only then give it its name.

    Raises:
        RunError: the disk is full, for example.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}. What was finished before is kept.") from error


def short_digest(contents: bytes) -> str:
    """Short enough for a file's name; tells a damaged file from a whole one."""
    return hashlib.blake2b(contents, digest_size=8).hexdigest()


def is_named_after(path: Path, contents: bytes) -> bool:
    """Whether a file's name ends in the digest of these contents."""
    return path.stem.rpartition("-")[2] == short_digest(contents)


def half_written(folder: Path, name: str = "*") -> Iterator[Path]:
    """What `write_whole` has left in a folder where it was killed, for files called `name`."""
    return folder.glob(f".{name}.*.partial")
