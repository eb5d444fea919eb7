"""The files of one split, as repositories of data sets name them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from advbench.errors import DatasetError

SPLITS: Final = frozenset(
    {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}
)
_MOST: Final = 100_000  # files in a folder
_CACHED: Final = re.compile(r"cache-.*\.arrow$")
"""What `datasets` leaves beside the data when it has computed something of them."""
_OF: Final = re.compile(r"-\d{5}-of-(\d{5})\.")


def files_of_split(root: Path, split: str, endings: Sequence[str]) -> list[Path]:
    """The files of a split in order: one file, those of a folder `split`, or those whose names begin with it.

    `test-00000-of-00002.parquet`, `data/test.parquet`, `test/000000.tar` and `test-000000.tar` are of the
    split `test`. Where no name tells a split, all files are taken.

    Args:
        root: a file, or a folder that holds files or one folder with files.
        split: which is wanted.
        endings: of the names of files that count, in small letters.

    Raises:
        DatasetError: no file, none of this split, fewer than their names say, or several folders of them.
    """
    if not root.is_dir():
        return [root]
    files = _files_of_split(root, split, endings)
    totals = {int(match[1]) for path in files if (match := _OF.search(path.name))}
    if len(totals) == 1 and all(_OF.search(path.name) for path in files) and totals != {len(files)}:
        raise DatasetError(
            f"{len(files)} of {totals.pop()} files of the split {split!r} are there; fetch the others."
        )
    return files


def _files_of_split(root: Path, split: str, endings: Sequence[str]) -> list[Path]:
    for folder in (root / split, root / "data" / split):
        if files := _files(folder, endings):
            return files
    for folder in (root, root / "data"):
        if files := _files(folder, endings):
            return _of_split(files, split)
    within = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    known = [folder.name for folder in within if folder.name in SPLITS and _files(folder, endings)]
    if known:
        raise DatasetError(f"there is no split {split!r}, only {', '.join(known)}.")
    holding = [folder for folder in within if _files(folder, endings) or _files(folder / split, endings)]
    if len(holding) == 1:
        return _files_of_split(holding[0], split, endings)
    if holding:
        names = ", ".join(folder.name for folder in holding[:8])
        raise DatasetError(f"it holds the folders {names}; give one of them.")
    raise DatasetError(f"there is no file in it whose name ends in {' or '.join(endings)}.")


def _of_split(files: Sequence[Path], split: str) -> list[Path]:
    named = {path: _split_in(path.name) for path in files}
    known = sorted({name for name in named.values() if name is not None})
    if split in known:
        return [path for path in files if named[path] == split]
    if known:
        raise DatasetError(f"there is no split {split!r}, only {', '.join(known)}.")
    return list(files)


def _split_in(name: str) -> str | None:
    """The split that a file's name tells, whole or between other words."""
    words = [word for word in re.split(r"[-_.]", name.lower()) if word in SPLITS]
    return words[-1] if words else None


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    names = [
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(tuple(endings)) and not _CACHED.match(entry.name)
    ]
    if len(names) > _MOST:
        raise DatasetError(f"{folder} holds more than {_MOST:,} files.")
    return [folder / name for name in sorted(names)]
