"""A picture's pixels, of whatever depth and mode, against its levels and against torchvision's own loader."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from advbench.data import pixels
from advbench.data.load import load_dataset
from advbench.data.pixels import Reading, read_pixels
from advbench.data.sources import Place
from advbench.errors import DatasetError

Array = npt.NDArray[Any]
RAMP: Array = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
RGB: Array = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
LEVELS: Array = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(pixels: Array) -> bytes:
    """A 16-bit PNG of `(h, w, c)` levels; Pillow writes none in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w, c = pixels.shape
    head = struct.pack(">IIBBBBB", w, h, 16, PNG_COLOURS[c], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def written(pixels: Array, kind: str, **options: Any) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def read(contents: bytes, folder: Path, **reading: Any) -> Tensor:
    path = folder / "picture.png"
    path.write_bytes(contents)
    return read_pixels(path, Reading(**reading))


def refused(contents: bytes, folder: Path, **reading: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read(contents, folder, **reading)
    assert str(folder / "picture.png") in str(caught.value)
    return str(caught.value)


GREY16 = {
    "PNG": lambda: png16(RAMP[:, :, None]),
    "TIFF": lambda: written(RAMP, "TIFF"),
    "TIFF, packed": lambda: written(RAMP, "TIFF", compression="tiff_lzw"),
    "PGM": lambda: b"P5\n256 256\n65535\n" + RAMP.astype(">u2").tobytes(),
    "PGM, in words": lambda: b"P2\n256 256\n65535\n" + b" ".join(b"%d" % each for each in RAMP.flat),
}


@pytest.mark.parametrize("make", GREY16.values(), ids=GREY16.keys())
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_of_16_bits_is_read_exactly(
    make: Callable[[], bytes], channels: int, tmp_path: Path
) -> None:
    x = read(make(), tmp_path, channels=channels)
    assert x.dtype == torch.float32
    assert torch.equal(x, (torch.from_numpy(RAMP.astype(np.float32)) / 65535).expand(channels, 256, 256))


@pytest.mark.parametrize("c", [3, 4])
def test_16_bits_of_colour_are_not_cut_to_8(c: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(c).integers(0, 1 << 16, (20, 30, c), dtype=np.uint16)
    contents = png16(pixels)
    levels = torch.from_numpy(pixels[:, :, :3].astype(np.float32)).permute(2, 0, 1)
    assert torch.equal(read(contents, tmp_path), levels / 65535)
    luma = (levels.double() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
    torch.testing.assert_close(
        read(contents, tmp_path, channels=1), (luma / 65535).float(), atol=2e-5, rtol=0
    )
    with Image.open(io.BytesIO(contents)) as cut:
        assert np.asarray(cut).dtype == np.uint8, "Pillow reads 16 bits of colour: ours can be simpler"


@pytest.mark.parametrize("c", [1, 3])
def test_8_bits_saved_with_16_are_the_same_picture(c: int, tmp_path: Path) -> None:
    pixels = RGB[:, :, :c]
    shallow = read(written(pixels if c == 3 else pixels[:, :, 0], "PNG"), tmp_path)
    torch.testing.assert_close(
        read(png16(pixels.astype(np.uint16) * 257), tmp_path), shallow, atol=6e-8, rtol=0
    )
    sized = [
        read(each, tmp_path, side=14)
        for each in (
            written(pixels if c == 3 else pixels[:, :, 0], "PNG"),
            png16(pixels.astype(np.uint16) * 257),
        )
    ]
    assert sized[0].shape == sized[1].shape == (3, 14, 14)
    torch.testing.assert_close(sized[1], sized[0], atol=0.6 / 255 * 2, rtol=0)  # 8 bits are rounded twice


def test_a_white_picture_of_16_bits_stays_white_when_it_is_resized(tmp_path: Path) -> None:
    white = np.full((23, 31, 1), 65535, np.uint16)
    assert torch.equal(read(png16(white), tmp_path, side=14), torch.ones(3, 14, 14))


TOO_DEEP = {
    "32 bits a channel (TIFF, mode I)": written(np.full((4, 4), 1, np.int32), "TIFF"),
    "32 bits a channel (TIFF, mode F)": written(np.full((4, 4), 1, np.float32), "TIFF"),
    "16 bits a channel and alpha (PNG": png16(np.ones((4, 4, 2), np.uint16)),
    "more than 8 bits a channel (PPM, mode RGB)": b"P6\n4 4\n65535\n" + bytes(96),
    "more than 8 bits a channel (PPM, mode F)": b"Pf\n4 4\n-1.0\n" + bytes(64),
}


def tiff_of(bits: int, kind: int, black: int, samples: int, data: bytes) -> bytes:
    """A little-endian TIFF of 4x4 pixels in one strip."""
    many = struct.pack("<HHHH", *[bits] * samples, *[0] * (4 - samples))
    entries = [
        (256, 3, 1, 4),
        (257, 3, 1, 4),
        (258, 3, samples, bits if samples == 1 else 8),
        (259, 3, 1, 1),
        (262, 3, 1, black),
        (273, 4, 1, 16 + 2 + 12 * 10 + 4),
        (277, 3, 1, samples),
        (278, 3, 1, 4),
        (279, 4, 1, len(data)),
        (339, 3, 1, kind),
    ]
    directory = struct.pack("<H", 10) + b"".join(struct.pack("<HHII", *each) for each in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 16) + many + directory + data


@pytest.mark.parametrize(("said", "contents"), TOO_DEEP.items(), ids=TOO_DEEP.keys())
def test_a_depth_that_cannot_be_read_exactly_is_refused_by_name(
    said: str, contents: bytes, tmp_path: Path
) -> None:
    message = refused(contents, tmp_path)
    assert said in message
    assert message.endswith("which cannot be read exactly. Save it as PNG, with 8 or 16, and without alpha.")


@pytest.mark.parametrize(
    ("bits", "kind", "black", "samples"),
    [(16, 1, 0, 1), (16, 2, 1, 1), (12, 1, 1, 1), (8, 2, 1, 1), (16, 1, 2, 3)],
    ids=["white is zero", "signed", "12 bits", "8 bits, signed", "16 bits of colour"],
)
def test_a_tiff_that_pillow_would_misread_is_refused_by_name(
    bits: int, kind: int, black: int, samples: int, tmp_path: Path
) -> None:
    contents = tiff_of(bits, kind, black, samples, bytes(16 * samples * 2))
    with Image.open(io.BytesIO(contents)) as picture:
        picture.load()  # Pillow by itself takes it
    assert f"has {bits} bits a channel" in refused(contents, tmp_path)
    plain = tiff_of(16, 1, 1, 1, np.arange(16, dtype="<u2").tobytes())
    assert torch.equal(read(plain, tmp_path, channels=1).flatten(), torch.arange(16) / 65535)


def palette(*, clear: bytes | int | None = None) -> bytes:
    picture = Image.fromarray(RGB).quantize(64)
    picture.save(file := io.BytesIO(), "PNG", **({} if clear is None else {"transparency": clear}))
    return file.getvalue()


def animation() -> bytes:
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (50, 200)]
    frames[0].save(file := io.BytesIO(), "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def multi_picture() -> bytes:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(file := io.BytesIO(), "MPO", save_all=True, append_images=frames[1:])
    return file.getvalue()


def cmyk() -> bytes:
    Image.fromarray(RGB).convert("CMYK").save(file := io.BytesIO(), "JPEG")
    return file.getvalue()


def transparent(mode: str) -> bytes:
    picture = Image.fromarray(RGB).convert(mode)
    picture.putalpha(Image.fromarray(RGB[:, :, 0]))
    picture.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


AS_TORCHVISION: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: written(RGB, "PNG"),
    "grey": lambda: written(LEVELS, "PNG"),
    "bilevel": lambda: written(LEVELS > 99, "PNG"),
    "JPEG": lambda: written(RGB, "JPEG"),
    "grey JPEG": lambda: written(LEVELS, "JPEG"),
    "two pictures in a JPEG": multi_picture,
    "CMYK JPEG": cmyk,
    "BMP": lambda: written(RGB, "BMP"),
    "WebP": lambda: written(RGB, "WEBP"),
    "TIFF": lambda: written(RGB, "TIFF"),
    "PPM": lambda: written(RGB, "PPM"),
    "a palette": palette,
    "a palette with a clear colour": lambda: palette(clear=3),
    "a palette with alpha": lambda: palette(clear=bytes(range(0, 256, 4))),
    "RGBA": lambda: transparent("RGB"),
    "grey with alpha": lambda: transparent("L"),
    "an animation": animation,
}


@pytest.mark.parametrize("make", AS_TORCHVISION.values(), ids=AS_TORCHVISION.keys())
@pytest.mark.parametrize("side", [None, 7])
def test_8_bits_are_what_torchvisions_loader_reads_to_the_last_bit(
    make: Callable[[], bytes], side: int | None, tmp_path: Path
) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class/picture.png").write_bytes(make())
    sizing = [] if side is None else [v2.Resize(8), v2.CenterCrop(side)]
    transform = v2.Compose([*sizing, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a palette with alpha; ours says nothing
        expected, _ = ImageFolder(str(tmp_path), transform=transform)[0]
    ours = load_dataset("imagefolder", Place(root=tmp_path, split="test", image_size=side))
    assert torch.equal(ours[0][0], expected)


def test_grey_is_read_from_colour_by_pillows_formula_and_from_grey_as_it_is(tmp_path: Path) -> None:
    x = read(written(RGB, "PNG"), tmp_path, channels=1)
    assert torch.equal(x[0], torch.from_numpy(np.array(Image.fromarray(RGB).convert("L"))).mul(1 / 255))
    x = read(written(LEVELS, "PNG"), tmp_path, channels=1)
    assert torch.equal(x, read(written(LEVELS, "PNG"), tmp_path)[:1])
    assert torch.equal((x[0, 0] * 255).round(), torch.arange(256.0))


def turned(kind: str, note: int) -> bytes:
    """A picture with a note (EXIF) that it is to be turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = note
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    return written(RGB, kind, exif=exif, **options)


@pytest.mark.parametrize("note", range(1, 9))
def test_a_note_that_a_picture_is_to_be_turned_is_left_out_of_account_as_by_torchvision(
    note: int, tmp_path: Path
) -> None:
    upright = torch.from_numpy(RGB).permute(2, 0, 1).mul(1 / 255)
    for kind in ("PNG", "WEBP"):
        assert torch.equal(read(turned(kind, note), tmp_path), upright)
    assert torch.equal(read(turned("JPEG", note), tmp_path), read(written(RGB, "JPEG"), tmp_path))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_pillow_turns_a_tiff_as_its_note_says(compression: str | None, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    contents = written(RGB, "TIFF", exif=exif, compression=compression)
    quarter = torch.from_numpy(np.rot90(RGB, -1).copy()).permute(2, 0, 1).mul(1 / 255)
    assert torch.equal(read(contents, tmp_path), quarter)


@pytest.mark.parametrize(
    "contents", [png16(RGB.astype(np.uint16) * 99)[:400], written(RGB, "JPEG")[:400]], ids=["PNG", "JPEG"]
)
def test_a_picture_that_breaks_off_is_refused_by_name(contents: bytes, tmp_path: Path) -> None:
    assert "picture.png" in refused(contents, tmp_path)


def test_a_picture_in_colour_among_grey_ones_is_refused_by_name(tmp_path: Path) -> None:
    assert "is in colour, the first one is grey, and the network takes one channel. " in refused(
        written(RGB, "PNG"), tmp_path, channels=1, grey_alone=True
    )
    for grey in (
        written(LEVELS, "PNG"),
        transparent("L"),
        png16(RAMP[:, :, None]),
        written(LEVELS > 9, "PNG"),
    ):
        assert len(read(grey, tmp_path, channels=1, grey_alone=True)) == 1


def test_a_strip_that_resizing_would_make_endless_is_refused(tmp_path: Path) -> None:
    Image.new("L", (1, 60_000)).save(path := tmp_path / "strip.png")
    assert read_pixels(path, Reading(side=32)).shape == (3, 32, 32)
    with pytest.raises(
        DatasetError, match=r"1 x 60000 pixels, which resizing to --image-size 224 makes 3,932,160,000"
    ):
        read_pixels(path, Reading(side=224))


def test_16_bits_a_channel_are_read_of_smaller_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path := tmp_path / "deep.png")
    assert read_pixels(path, Reading()).shape == (3, 8, 8)
    monkeypatch.setattr(pixels, "MOST_PIXELS", 200)
    with pytest.raises(DatasetError, match="64 pixels of 16 bits a channel, and 50 are read at most"):
        read_pixels(path, Reading())
