"""Pictures in tar files, as WebDataset keeps them: files of one sample follow each other and share a name.

Samples are found by the headers once, and each picture is read from its place then, so that memory does not
grow with the pictures. https://github.com/webdataset/webdataset describes the format.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, overload

import numpy as np

from advbench.data.columns import labels_of
from advbench.data.images import Labels
from advbench.data.picture_folder import ENDINGS
from advbench.data.pictures import PictureWithin
from advbench.errors import DatasetError, first_line, printable
from advbench.regular_files import open_regular

_LABEL: Final = "cls"
_LONGEST_LABEL: Final = 1_000  # bytes
_LARGEST_PICTURE: Final = 1 << 28  # bytes
_MOST: Final = 20_000_000  # members of a file


class _Spot(NamedTuple):
    """Where a picture lies."""

    shard: int
    start: int
    size: int
    key: str


@dataclass(frozen=True)
class ShardPictures(Sequence[PictureWithin]):
    """The pictures of some tar files, in their order.

    Args:
        shards: the files.
        spots: where each picture lies.
    """

    shards: Sequence[Path]
    spots: Sequence[_Spot] = field(repr=False)

    def __len__(self) -> int:
        return len(self.spots)

    @overload
    def __getitem__(self, index: int) -> PictureWithin: ...
    @overload
    def __getitem__(self, index: slice) -> "ShardPictures": ...
    def __getitem__(self, index: int | slice) -> "PictureWithin | ShardPictures":
        """Picture number `index`, unread."""
        if isinstance(index, slice):
            return ShardPictures(self.shards, self.spots[index])
        spot = self.spots[index]
        path = self.shards[spot.shard]
        return PictureWithin(f"{path}: {printable(spot.key)}", lambda: _read(path, spot))


def _read(path: Path, spot: _Spot) -> bytes:
    try:
        with open_regular(path) as file:
            file.seek(spot.start)
            return file.read(spot.size)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error


def open_shards(paths: Sequence[Path]) -> tuple[ShardPictures, Labels, list[str]]:
    """Every sample of some tar files: a picture, and a file `.cls` with its label.

    Returns:
        The pictures, their labels `(n,)`, and the names of the classes where `.cls` holds names.

    Raises:
        DatasetError: no tar file, a packed one, a sample without its label or picture, or with two pictures.
    """
    spots: list[_Spot] = []
    texts: list[str] = []
    for number, path in enumerate(paths):
        for spot, text in _samples(path, number):
            spots.append(spot)
            texts.append(text)
    labels, classes = labels_of(texts, "the files .cls") if texts else (np.zeros(0, np.int64), [])
    return ShardPictures(tuple(paths), spots), labels, classes


def _samples(path: Path, number: int) -> Iterator[tuple[_Spot, str]]:
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            yield from _grouped(path, number, file, archive)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error.strerror or first_line(error)}.") from error
    except Exception as error:  # a damaged file can make its reader raise anything
        reason = printable(first_line(error)).rstrip(".")
        raise DatasetError(f"{path.name} is damaged or no unpacked tar file: {reason}.") from error


def _grouped(
    path: Path, number: int, file: BinaryIO, archive: tarfile.TarFile
) -> Iterator[tuple[_Spot, str]]:
    sample: dict[str, tarfile.TarInfo] = {}
    key = ""
    for member in _members(path, archive):
        folder, name = os.path.split(member.name)
        stem, _, ending = name.partition(".")
        if not member.isreg() or not stem:
            continue
        this = f"{folder}/{stem}" if folder else stem
        if this != key and sample:
            yield _sample(path, number, key, sample, file)
            sample = {}
        key = this
        if ending.lower() in sample:
            raise DatasetError(f"{path.name}: sample {printable(key)} has two files .{printable(ending)}.")
        sample[ending.lower()] = member
    if sample:
        yield _sample(path, number, key, sample, file)


def _members(path: Path, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members one by one; not kept, and only as long as each lies behind the one before."""
    behind = -1
    kept: list[tarfile.TarInfo] = vars(archive)["members"]
    for _ in range(_MOST):
        member = archive.next()
        kept.clear()  # else it keeps every header
        if member is None:
            return
        if member.offset <= behind or member.size < 0:
            raise DatasetError(f"{path.name} is damaged: its members do not follow each other.")
        behind = member.offset
        yield member
    raise DatasetError(f"{path.name} has more than {_MOST:,} members.")


def _sample(
    path: Path, number: int, key: str, sample: dict[str, tarfile.TarInfo], file: BinaryIO
) -> tuple[_Spot, str]:
    where = f"{path.name}: sample {printable(key)}"
    pictures = [ending for ending in sample if f".{ending}".endswith(ENDINGS)]
    if len(pictures) != 1 or _LABEL not in sample:
        held = printable(", ".join(f".{ending}" for ending in sample))
        raise DatasetError(f"{where} has {held}; expected one picture (.jpg, .png, ...) and a label (.cls).")
    picture, label = sample[pictures[0]], sample[_LABEL]
    if label.size > _LONGEST_LABEL or picture.size > _LARGEST_PICTURE or picture.sparse or label.sparse:
        raise DatasetError(f"{where} is larger than any picture or label.")
    file.seek(label.offset_data)
    try:
        return _Spot(number, picture.offset_data, picture.size, key), file.read(label.size).decode().strip()
    except UnicodeDecodeError:
        raise DatasetError(f"{where}: its label is no text.") from None
