"""Files that are whole, have one writer, and are no bombs."""

import contextlib
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from advbench.errors import RunError
from advbench.regular_files import open_regular

if sys.platform != "win32":  # where folders cannot be locked
    import fcntl

_SHORT = 8  # bytes of a digest in a file's name
_HARMLESS = 1 << 30  # bytes; what unpacks to less can be held
_RATIO = 100  # images and weights pack to a tenth or a fiftieth at best, zeros alone to a thousandth


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
    return hashlib.blake2b(contents, digest_size=_SHORT).hexdigest()


def is_named_after(path: Path, contents: bytes) -> bool:
    """Whether a file's name ends in the digest of these contents."""
    return path.stem.rpartition("-")[2] == short_digest(contents)


def is_as_named(path: Path) -> bool:
    """Whether a file is there and its name ends in the digest of its contents, which are not held at once."""
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=_SHORT))
    except OSError:
        return False
    return path.stem.rpartition("-")[2] == digest.hexdigest()


def half_written(folder: Path, name: str = "*") -> Iterator[Path]:
    """What `write_whole` has left in a folder where it was killed, for files called `name`."""
    return folder.glob(f".{name}.*.partial")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: no regular file, or none that may be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FolderLock:
    """A lock on a folder that its owner's end releases, `kill -9` included; nothing is left in the folder.

    File systems that cannot lock (some that are mounted over a network) are taken as they are.

    Raises:
        BlockingIOError: another process has the lock.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor: int | None = None
        self.owner = os.getpid()
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise
        else:
            self.descriptor = descriptor

    def release(self) -> None:
        """Let others have it; once is enough.

        Closing alone would not do: a process that the owner has just started holds a copy of the descriptor
        until its program is loaded. A forked copy of the owner only closes, since the lock is not its own.
        """
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                if os.getpid() == self.owner:
                    fcntl.flock(self.descriptor, fcntl.LOCK_UN)
            with contextlib.suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = None

    def __del__(self) -> None:
        self.release()


def is_free(path: Path) -> bool:
    """Whether nobody has the lock on a folder."""
    try:
        FolderLock(path).release()
    except OSError:
        return False
    return True


def bomb_in(archive: zipfile.ZipFile, size: int) -> str | None:
    """What is wrong with an archive that would fill the memory.

    Args:
        archive: opened, not read.
        size: of its file, in bytes.

    Returns:
        A sentence that says what it declares, or None if it is credible.
    """
    declared = sum(member.file_size for member in archive.infolist())
    if declared <= max(_HARMLESS, _RATIO * size):
        return None
    return f"it has {size:,} bytes and declares to unpack to {declared:,}, which no honest file does"
