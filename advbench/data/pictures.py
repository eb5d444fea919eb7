"""Picture files: which of them are opened, and what is refused before a decoder sees it.

Every picture that anybody gave is opened here and nowhere else: Pillow by itself opens whatever it knows,
whatever the file's ending, and hands some formats (PostScript) to a program that it starts.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from advbench.errors import DatasetError
from advbench.regular_files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""What people keep pictures for classifiers in, by Pillow's names; each is decoded within this process."""

MOST_PIXELS: Final = 89_478_485
"""The largest picture, 9,459 pixels square: the size from which Pillow warns of a decompression bomb."""


@dataclass(frozen=True)
class PictureWithin:
    """A picture inside another file, as an archive or a table.

    Args:
        name: what messages call it.
        read: gives the bytes that a file of its own would have.
    """

    name: str
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return self.name


PictureFile = str | Path | PictureWithin


@contextmanager
def open_picture(path: PictureFile) -> Iterator["Picture"]:
    """A picture whose header has been read and whose pixels have not.

    Raises:
        DatasetError: no regular file, in none of `FORMATS`, or of more than `MOST_PIXELS` pixels.
        Exception: whatever else Pillow raises on a damaged file.
    """
    with _open(path) as file, _opened(file, path) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise _too_large(path)
        yield picture


def _opened(file: IO[bytes], path: PictureFile) -> "Picture":
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  # only folders of images need it

    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DatasetError(
            f"image {path} is damaged or in a format that is not read. Save it as PNG; "
            f"what is read: {', '.join(sorted(FORMATS))}."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path) from error


def _open(path: PictureFile) -> IO[bytes]:
    if isinstance(path, PictureWithin):
        return io.BytesIO(path.read())
    try:
        return open_regular(path)
    except OSError as error:
        raise DatasetError(f"image {path} cannot be read: {error.strerror}.") from error


def _too_large(path: PictureFile) -> DatasetError:
    return DatasetError(
        f"image {path} declares more than {MOST_PIXELS:,} pixels, the most that are read. Save it smaller."
    )
