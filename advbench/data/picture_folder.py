"""A folder of pictures, a folder a class."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from advbench.data.labelled_pictures import LabelledPictures
from advbench.data.pixels import Reading
from advbench.errors import DatasetError

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that are taken for pictures, in capitals too; those of torchvision's `ImageFolder`."""

_MOST_WAYS: Final = 8
_MOST_FOLDERS: Final = 20_000
"""Of a class, in it and below; where links lead to folders that link on, these have no end."""


def open_folder(root: Path, reading: Reading, *, settled: bool) -> LabelledPictures:
    """The pictures below the class folders of `root`.

    Raises:
        DatasetError: no class folder, one without a picture, or a link that leads back to a folder above it.
    """
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    if not classes:
        raise DatasetError("there is no class folder in it.")
    pictures = [sorted(_pictures_below(os.path.join(root, name), root)) for name in classes]  # noqa: PTH118  # as os.walk
    empty = [
        name
        for name, folders in zip(classes, pictures, strict=True)
        if not any(files for _, files in folders)
    ]
    if empty:
        raise DatasetError(
            f"there is no picture in the class folder {', '.join(empty)}. "
            f"The names of pictures end in {', '.join(ENDINGS)}."
        )
    listed = [
        (f"{folder}{os.sep}{name}", label)
        for label, folders in enumerate(pictures)
        for folder, names in folders
        for name in names
    ]
    files, targets = zip(*listed, strict=True)
    return LabelledPictures(classes=classes, files=files, targets=targets, reading=reading, settled=settled)


def _pictures_below(folder: str, root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below one, links followed, and the names of its pictures in order.

    Raises:
        DatasetError: a link that leads back, links that multiply what they lead to, or folders without end.
    """
    trails = {str(root): frozenset({os.path.realpath(root)})}
    ways: Counter[str] = Counter()
    for place, _, names in os.walk(folder, followlinks=True):
        above, real = trails[os.path.dirname(place)], os.path.realpath(place)  # noqa: PTH120  # as os.walk
        if real in above:
            raise DatasetError(f"the link {place} leads back to a folder that it lies in; remove it.")
        ways[real] += 1
        if ways[real] > _MOST_WAYS:
            raise DatasetError(f"more than {_MOST_WAYS} links lead to the folder {real}; remove them.")
        if len(ways) > _MOST_FOLDERS:
            raise DatasetError(f"the class folder {folder} has more than {_MOST_FOLDERS:,} folders in it.")
        trails[place] = above | {real}
        yield place, sorted(name for name in names if name.lower().endswith(ENDINGS))
