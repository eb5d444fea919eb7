"""Picture files: which of them are opened, and what is refused before a decoder sees it.

Every picture that anybody gave is opened here and nowhere else: Pillow by itself opens whatever it knows,
whatever the file's ending, and hands some formats (PostScript) to a program that it starts.
"""

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from advbench.errors import DatasetError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""What people keep pictures for classifiers in, by Pillow's names; each is decoded within this process."""

MOST_PIXELS: Final = 89_478_485
"""The largest picture, 9,459 pixels square: the size from which Pillow warns of a decompression bomb."""


def open_picture(path: str | Path) -> "Picture":
    """A picture whose header has been read and whose pixels have not; close it after use.

    Raises:
        DatasetError: in none of `FORMATS`, or of more than `MOST_PIXELS` pixels.
        Exception: whatever else Pillow raises on a damaged file.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  # only folders of images need it

    try:
        picture = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DatasetError(
            f"image {path} is damaged or in a format that is not read. Save it as PNG; "
            f"what is read: {', '.join(sorted(FORMATS))}."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path) from error
    if picture.width * picture.height > MOST_PIXELS:
        picture.close()
        raise _too_large(path)
    return picture


def check_regular(path: str | Path) -> None:
    """Refuse what only looks like a picture file: opening a pipe waits for ever, a device can do anything.

    Raises:
        DatasetError: no regular file, or none that can be looked at.
    """
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise DatasetError(f"image {path} cannot be read: {error.strerror or first_line(error)}.") from error
    if not stat.S_ISREG(mode):
        raise DatasetError(f"image {path} is no regular file, but a pipe, a socket or a device; remove it.")


def _too_large(path: str | Path) -> DatasetError:
    return DatasetError(
        f"image {path} declares more than {MOST_PIXELS:,} pixels, the most that are read. Save it smaller."
    )
