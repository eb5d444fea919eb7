"""A folder of pictures, a folder a class."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from torch import Tensor

from advbench.data.pictures import open_picture
from advbench.data.pixels import Reading, is_grey, read_pixels
from advbench.errors import DatasetError, first_line

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that are taken for pictures, in capitals too; those of torchvision's `ImageFolder`."""

_MOST_WAYS: Final = 8
_MOST_FOLDERS: Final = 20_000
"""Of a class, in it and below; where links lead to folders that link on, these have no end."""


@dataclass(frozen=True, kw_only=True)
class PictureFolder:
    """A map-style data set, like torchvision's `ImageFolder` in its order.

    Args:
        classes: the names of the class folders in alphabetical order.
        files: every picture's path; class by class, folder by folder, by name.
        targets: the label of each: its class, or what a file of names has made of that.
        reading: how pictures become tensors.
        settled: whether the user said how many channels to read, so that nothing else may decide it.
    """

    classes: Sequence[str]
    files: Sequence[str]
    targets: Sequence[int]
    reading: Reading
    settled: bool

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Pixels in [0, 1], `(c, h, w)`, and label of picture number `index`."""
        return read_pixels(self.files[index], self.reading), self.targets[index]

    def name_of(self, index: int) -> str:
        """The path of picture number `index`."""
        return self.files[index]

    def is_grey(self, index: int) -> bool:
        """Whether a picture has no colour by its header.

        Raises:
            DatasetError: it cannot be opened.
        """
        path = self.files[index]
        try:
            with open_picture(path) as picture:
                return is_grey(picture)
        except DatasetError:
            raise
        except Exception as error:  # a damaged image can make PIL raise anything
            raise DatasetError(f"image {path} cannot be read: {first_line(error)}.") from error

    def in_grey(self) -> "PictureFolder":
        """The same pictures in one channel, where one in colour is refused."""
        return replace(self, reading=replace(self.reading, channels=1, grey_alone=True))


def open_folder(root: Path, reading: Reading, *, settled: bool) -> PictureFolder:
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
    return PictureFolder(classes=classes, files=files, targets=targets, reading=reading, settled=settled)


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
