"""One run writes to a folder at a time."""

import contextlib
import os
import sys
from pathlib import Path

if sys.platform != "win32":  # where folders cannot be locked
    import fcntl


class FolderLock:
    """A lock on a folder that its owner's end releases, `kill -9` included; nothing is left in the folder.

    File systems that cannot lock (some that are mounted over a network) are taken as they are.

    Raises:
        BlockingIOError: another process has the lock.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor: int | None = None
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
        """Let others have it; once is enough."""
        if self.descriptor is not None:
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
