"""Folders of runs in and below a folder, however many there are and whatever else lies there."""

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from advbench.errors import InputError

DEEPEST: Final = 8
"""Levels below the folder that are looked at."""

MOST_ENTRIES: Final = 200_000
"""Names that are looked at, of files and folders."""

MOST_FOLDERS: Final = 5_000
"""Runs and sweeps that are taken."""


@dataclass
class FoundFolders:
    """What lies in and below a folder.

    Args:
        folders: those that hold one of the files, by their paths.
        unread: folders that could not be looked into, each with the reason.
        left_out: why more may lie there.
    """

    folders: list[Path] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find_folders(home: Path, names: tuple[str, ...]) -> FoundFolders:
    """Every folder in and below `home` that holds a file of one of these names; links are not followed.

    What lies below such a folder belongs to it, and is not looked at.

    Args:
        home: the folder.
        names: of the files.

    Raises:
        InputError: there is no such folder, or it cannot be looked into.
    """
    if not home.is_dir():
        raise InputError(f"{home} is no folder." if home.exists() else f"there is no folder {home}.")
    result, entries, deeper = FoundFolders(), 0, False
    waiting = deque([(home, 0)])
    while waiting:
        folder, depth = waiting.popleft()
        try:
            below, files, count = _look(folder)
        except OSError as error:
            if folder == home:
                raise InputError(f"{home} cannot be looked into: {error.strerror}.") from error
            result.unread.append((folder, f"it cannot be looked into: {error.strerror}"))
            continue
        entries += count
        if any(name in files for name in names):
            result.folders.append(folder)
        elif depth < DEEPEST:
            waiting.extend((path, depth + 1) for path in below)
        else:
            deeper = deeper or bool(below)
        if entries > MOST_ENTRIES or len(result.folders) >= MOST_FOLDERS:
            break
    if deeper:
        result.left_out.append(f"Folders more than {DEEPEST} levels down are not looked at.")
    if waiting or entries > MOST_ENTRIES:
        result.left_out.append(
            f"{len(result.folders)} folders are shown, and more may lie there: name one inside."
        )
    result.folders.sort()
    return result


def _look(folder: Path) -> tuple[list[Path], set[str], int]:
    """The folders in a folder in their order, the names of its files, and how many names it has."""
    below, files, count = [], set(), 0
    with os.scandir(folder) as names:
        for entry in names:
            count += 1
            if count > MOST_ENTRIES:
                break
            if entry.is_dir(follow_symlinks=False):
                below.append(folder / entry.name)
            else:
                files.add(entry.name)
    return sorted(below), files, count
