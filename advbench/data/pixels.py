"""From a picture's file to a tensor: how deep it is, how many channels are wanted, and in which size."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

from advbench.data.pictures import FORMATS, MOST_PIXELS, PictureFile, open_picture
from advbench.errors import DatasetError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Channels = Literal[1, 3]

_WHITE: Final = 65535
_LUMA: Final = torch.tensor([19595, 38470, 7471], dtype=torch.float64).div(65536).view(3, 1, 1)
"""ITU-R 601-2, as Pillow makes grey of RGB."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How pictures are read.

    Args:
        channels: 3 for RGB, of which a grey picture has three equal ones; 1 for grey.
        side: of the square that pictures are resized and cropped to; None leaves them.
        grey_alone: whether a picture in colour is refused rather than made grey.
    """

    channels: Channels = 3
    side: int | None = None
    grey_alone: bool = False


def read_pixels(path: PictureFile, reading: Reading) -> Tensor:
    """A picture as float32 in [0, 1], `(channels, h, w)`.

    8 bits a channel are scaled by 1/255, and 16 divided by 65,535. As torchvision's loader has it, a palette
    is looked up, CMYK becomes RGB by Pillow's formula, and an alpha channel, a colour profile, and a note
    (EXIF) that a JPEG, PNG or WebP is to be turned are left out of account; Pillow turns TIFF. Of several
    frames the first is read.

    Raises:
        DatasetError: no regular file, in none of the formats that are read, too large, too deep, in colour
            where it must not be, or damaged; the message names the file.
    """
    try:
        with open_picture(path) as picture:
            if reading.grey_alone and not is_grey(picture):
                raise DatasetError(
                    f"image {path} is in colour, the first one is grey, and the network takes one channel. "
                    "Give --channels 1 to make them all grey."
                )
            deep = _is_deep(picture, path)
            _check_room(picture, path, reading, deep=deep)
            if deep:
                return _sixteen_bits(picture, path, reading)
            return _eight_bits(picture, reading)
    except DatasetError:
        raise
    except Exception as error:  # a damaged image can make PIL raise anything
        raise DatasetError(f"image {path} cannot be read: {first_line(error)}.") from error


def _check_room(picture: "Picture", path: PictureFile, reading: Reading, *, deep: bool) -> None:
    """Refuse what takes far more memory decoded or resized than its file has.

    Raises:
        DatasetError: so many pixels of 16 bits, which are read twice, or a strip that resizing makes endless.
    """
    pixels = picture.width * picture.height
    if deep and pixels > MOST_PIXELS // 4:
        raise DatasetError(
            f"image {path} has {pixels:,} pixels of 16 bits a channel, and {MOST_PIXELS // 4:,} are read at "
            "most. Save it smaller."
        )
    if reading.side is not None:
        scale = _shorter(reading.side) / min(picture.size)
        if pixels * scale * scale > MOST_PIXELS:
            raise DatasetError(
                f"image {path} has {picture.width} x {picture.height} pixels, which resizing to --image-size "
                f"{reading.side} makes {int(pixels * scale * scale):,}. Crop it."
            )


def is_grey(picture: "Picture") -> bool:
    """Whether a picture has no colour by its header: bilevel or grey, with or without alpha."""
    if picture.format == "PNG" and _raw_mode(picture).startswith("LA"):  # 16 bits, which Pillow calls RGBA
        return True
    return picture.mode in {"1", "L", "LA", "La", "I"} or picture.mode.startswith("I;16")


def _eight_bits(picture: "Picture", reading: Reading) -> Tensor:
    picture.load()
    picture.info.pop("transparency", None)  # Pillow would warn that it is left out
    pixels = picture.convert("L" if reading.channels == 1 else "RGB")
    if reading.side is not None:
        pixels = _sizing(reading.side)(pixels)
    array = torch.from_numpy(np.array(pixels)).view(pixels.height, pixels.width, reading.channels)
    # As torchvision scales; a division would differ in the last bit of some levels.
    return array.permute(2, 0, 1).to(torch.float32).mul_(1.0 / 255)


def _sixteen_bits(picture: "Picture", path: PictureFile, reading: Reading) -> Tensor:
    planes = (
        _deep_png(picture, path)
        if picture.format == "PNG"
        else torch.from_numpy(np.array(picture, np.float32))[None]
    )
    if reading.side is not None:
        planes = torch.stack([_resized(plane, reading.side) for plane in planes])
    if len(planes) > reading.channels:
        planes = planes.mul(_LUMA).sum(0, keepdim=True).to(torch.float32)
    return planes.div_(_WHITE).clamp_(0.0, 1.0).expand(reading.channels, -1, -1)


def _deep_png(picture: "Picture", path: PictureFile) -> Tensor:
    """The 16-bit channels of a PNG, `(1 or 3, h, w)` float32.

    Pillow cuts those of RGB to their high bytes, and to their low bytes where it is told that the file is
    little-endian.
    """
    if picture.mode not in {"RGB", "RGBA"}:
        return torch.from_numpy(np.array(picture, np.float32))[None]
    with open_picture(path) as again:
        unread: Any = again
        unread.tile = [(*unread.tile[0][:3], _raw_mode(again).replace(";16B", ";16L"))]
        high, low = (np.asarray(image)[:, :, :3] for image in (picture, again))
    levels = high.astype(np.uint16) << 8 | low
    return torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1)


def _resized(plane: Tensor, side: int) -> Tensor:
    from PIL import Image  # noqa: PLC0415  # only folders of images need it

    return torch.from_numpy(np.array(_sizing(side)(Image.fromarray(plane.numpy()))))


def _is_deep(picture: "Picture", path: PictureFile) -> bool:
    """Whether a picture has 16 bits a channel rather than 8 or less.

    Raises:
        DatasetError: another depth, or one that Pillow reads less of than there is.
    """
    match picture.format:
        case "PNG":
            if _raw_mode(picture).startswith("LA;16"):
                raise _too_deep(picture, path, "16 bits a channel and alpha")
            return _raw_mode(picture).endswith(";16B")
        case "TIFF":
            tags: Any = picture
            bits, kinds = (tags.tag_v2.get(tag, (1,)) for tag in (_BITS, _KIND))
            if max(bits) <= 8 and set(kinds) <= _UNSIGNED:
                return False
            if picture.mode.startswith("I;16") and bits == (16,) and tags.tag_v2.get(_BLACK) == 1:
                return True
            raise _too_deep(picture, path, f"{max(bits)} bits a channel")
        case "PPM":
            if picture.mode == "F" or (picture.mode == "RGB" and _largest(picture) > 255):
                raise _too_deep(picture, path, "more than 8 bits a channel")
            return picture.mode == "I"
        case _:
            assert picture.format in (*FORMATS, "MPO")
            return False


_BITS, _BLACK, _KIND = 258, 262, 339
"""Tags of TIFF: bits a sample, photometric interpretation (1: zero is black), kind of a sample."""

_UNSIGNED: Final = {1, 4}


def _too_deep(picture: "Picture", path: PictureFile, bits: str) -> DatasetError:
    return DatasetError(
        f"image {path} has {bits} ({picture.format}, mode {picture.mode}), which cannot be read "
        "exactly. Save it as PNG, with 8 or 16, and without alpha."
    )


def _raw_mode(picture: "Picture") -> str:
    """How Pillow calls the layout of the pixels in a file, before they are read."""
    layout: Any = picture.tile[0][3]  # type: ignore[attr-defined]  # an opened file has tiles
    return str(layout if isinstance(layout, str) else layout[0])


def _largest(picture: "Picture") -> int:
    """What a PPM calls white."""
    layout: Any = picture.tile[0][3]  # type: ignore[attr-defined]  # an opened file has tiles
    return int(layout[1]) if isinstance(layout, tuple) and isinstance(layout[1], int) else 255


def _shorter(side: int) -> int:
    """What a picture's shorter side is resized to before a square of `side` is cropped."""
    return round(side * 256 / 224)


@cache
def _sizing(side: int) -> Callable[[Any], Any]:
    """Resize a picture's shorter side to 256/224 of `side`, and crop to the centre."""
    from torchvision.transforms import v2  # noqa: PLC0415  # a second to import

    sizing: Callable[[Any], Any] = v2.Compose([v2.Resize(_shorter(side)), v2.CenterCrop(side)])
    return sizing
