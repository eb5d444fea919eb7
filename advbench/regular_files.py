"""Files that somebody else may have put there, opened only where they are files.

A pipe is waited for without end, a device can do anything, and what stands in a file's place may change
between a look and the opening. So everything that is read goes through here: a look first, an opening that
waits for nothing, and a second look at what was opened.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_BLOCK: Final = 512  # bytes; the unit of st_blocks
_HOLES_FROM: Final = 64 << 20  # bytes
_HOLES: Final = 64  # times as many bytes as are there
_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # Windows has neither these nor named pipes in folders
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class IrregularFileError(OSError):
    """What stands under a name is no regular file; `strerror` is a sentence without its subject."""


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """A file, opened to be read.

    Raises:
        IrregularFileError: it is a folder, a pipe, a socket or a device, or consists of holes.
        OSError: there is none, or none that may be read.
    """
    _check(Path(path).stat(), path)
    descriptor = os.open(path, _FLAGS)
    try:
        _check(status := os.fstat(descriptor), path)
        _check_holes(descriptor, status, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The contents of a file.

    Args:
        path: of the file.
        most: bytes that it may have; its size is looked at before any memory is taken.

    Raises:
        IrregularFileError: it is a folder, a pipe, a socket or a device.
        OSError: it is larger, there is none, or none that may be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        contents = b"" if size > most else file.read(most + 1)
    if contents is None:  # of a file of the kernel's, whose contents would be waited for
        raise IrregularFileError(errno.EINVAL, "it is no file that ends", os.fspath(path))
    if size > most or len(contents) > most:
        sentence = f"it has more than {most:,} bytes, the most that are read"
        raise OSError(errno.EFBIG, sentence, os.fspath(path))
    return contents


def read_if_there(path: str | os.PathLike[str], most: int) -> bytes | None:
    """The contents of a file; None where `read_regular` would raise an error."""
    try:
        return read_regular(path, most)
    except OSError:
        return None


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what another library, which takes names alone, should not be given.

    Raises:
        IrregularFileError: it is a folder, a pipe, a socket or a device.
        OSError: there is none, or none that may be read.
    """
    open_regular(path).close()


def is_regular(path: Path) -> bool:
    """Whether a file can be opened there, links followed."""
    try:
        check_regular(path)
    except OSError:
        return False
    return True


def _check_holes(descriptor: int, status: os.stat_result, path: str | os.PathLike[str]) -> None:
    """Refuse a file that says it is large and is not on the disk: its zeros would be read for hours."""
    if status.st_size < _HOLES_FROM or not hasattr(os, "SEEK_HOLE"):
        return
    if status.st_blocks * _BLOCK * _HOLES < status.st_size and _first_hole(descriptor) < status.st_size:
        sentence = f"it says that it has {status.st_size:,} bytes, nearly all of them holes"
        raise IrregularFileError(errno.EINVAL, sentence, os.fspath(path))


def _first_hole(descriptor: int) -> int:
    """Where a file has its first hole; at its end where it has none, or the file system does not tell."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE)
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)


def _check(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise IrregularFileError(errno.EINVAL, f"it is {kind}, not a file", os.fspath(path))
