"""Hostile data sets: arrays, folders of pictures, files of MNIST, banks of patches, files of names."""

import io
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.fuzz_lines import SMALL_ATTACK
from benchmarks.hostile_damage import ANYWHERE, VALUES, put_text

Array = npt.NDArray[Any]

_STRANGE_NAMES: Final = (
    b"\xff\xfe",
    b"\x1b[31mred",
    b"a\nb",
    b"x" * 250,
    "ünï".encode(),
    b"-rf",
    b"%s",
    b"[",
    b"~",
)


def hostile_arrays(draw: random.Random, folder: Path) -> list[str]:
    """An `.npz` file that is not as promised."""
    path = folder / "data.npz"
    x, y = np.full((6, 1, 8, 8), 100, np.uint8), np.arange(6)
    if draw.random() < 0.3:
        np.savez(path, x=x, y=y)
        draw.choice(ANYWHERE)(draw, path)
    elif draw.random() < 0.5:
        path.write_bytes(_archive(draw))
    else:
        arrays: dict[str, Any] = _strange(draw, x, y)
        np.savez_compressed(path, **arrays)
    return [*_attack(draw), "--dataset", "npz", "--data-root", str(path)]


def hostile_bank(draw: random.Random, folder: Path) -> list[str]:
    """A bank of patches for `quilt`."""
    path = folder / draw.choice(["bank.npy", "bank.npz", "bank"])
    with path.open("wb") as file:
        if draw.random() < 0.5:
            np.save(file, np.zeros((20, 1, 4, 4), np.float32))
        else:
            file.write(_npy(draw))
    if draw.random() < 0.6:
        draw.choice(ANYWHERE)(draw, path)
    return [*_attack(draw), "--defense", f"quilt:bank={path}"]


def hostile_names(draw: random.Random, folder: Path) -> list[str]:
    """A file of class names, or an index of classes."""
    root, path = folder / "root", folder / "names"
    _pictures(draw, root)
    path.write_text(
        draw.choice(["0 a\n1 b\n", "a\nb\n", '{"0": ["n1", "a"], "1": ["n2", "b"]}', "9" * 5000 + " a\n"])
    )
    draw.choice([*ANYWHERE, put_text, put_text])(draw, path)
    option = draw.choice(["--classes", "--class-index"])
    return [*_attack(draw), "--dataset", "imagefolder", "--data-root", str(root), option, str(path)]


def hostile_mnist(draw: random.Random, folder: Path) -> list[str]:
    """Files of MNIST that say other counts than they have."""
    home = folder / "MNIST" / "raw"
    home.mkdir(parents=True)
    for split in ("train", "t10k"):
        images = struct.pack(">4i", 2051, draw.choice([4, 4, -1, 1 << 30]), 28, 28) + bytes(4 * 784)
        labels = struct.pack(">2i", 2049, draw.choice([4, 4, 1 << 30])) + bytes(
            [1, 2, 3, draw.choice([4, 255])]
        )
        (home / f"{split}-images-idx3-ubyte").write_bytes(images)
        (home / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    draw.choice(ANYWHERE)(draw, home / draw.choice(["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]))
    return [
        *_attack(draw),
        "--dataset",
        draw.choice(["mnist", "mnist", "svhn", "cifar10"]),
        "--data-root",
        str(folder),
    ]


def hostile_pictures(draw: random.Random, folder: Path) -> list[str]:
    """A folder of pictures, one of which is none, and folders of strange names, or without end."""
    root = folder / "root"
    _pictures(draw, root)
    draw.choice([_bad_picture, _bad_picture, _bad_picture, _bad_folder])(draw, root)
    if draw.random() < 0.05:
        root = Path(draw.choice(["/proc/self", "/proc", "/dev", "/sys/kernel", "/", "/proc/self/fd"]))
    size = draw.choice(
        [[], [], ["--image-size", "8"], ["--image-size", draw.choice(["1", "99999", "1000000000"])]]
    )
    return [*_attack(draw), "--dataset", "imagefolder", "--data-root", str(root), *size]


def _attack(draw: random.Random) -> list[str]:
    return ["attack", *SMALL_ATTACK, *draw.choice([[], ["--limit", "4"], ["--defense", "round"]])]


def _pictures(draw: random.Random, root: Path) -> None:
    for name in "ab":
        (root / name).mkdir(parents=True)
        for number in range(2):
            picture = Image.new(draw.choice(["L", "RGB"]), (8, 8), 90)
            picture.save(root / name / f"{number}.png")


def _bad_picture(draw: random.Random, root: Path) -> None:
    path = root / "b" / draw.choice(["0.png", "9.jpg", "0.tiff", "\x1b[31m.png", "0.webp"])
    make: Callable[[], bytes] = draw.choice(
        [
            lambda: _png(
                draw.choice([9_400, 13_000, 60_000, (1 << 31) - 1]), draw.choice([9_400, 13_000, 1, 3_000])
            ),
            lambda: _png(1, draw.choice([1_000_000, 80_000_000])),
            lambda: _png(draw.choice([3_000, 5_000]), 3_000, depth=16),
            lambda: (
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(it-ran) (w) file closefile showpage\n"
            ),
            lambda: b"P6\n100000 100000\n255\n",
            lambda: b"P5 " + b"9" * 5000 + b" 1 255\n",
            lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
            lambda: _picture(draw, draw.choice(["GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG", "PNG"])),
            lambda: _picture(draw, draw.choice(["ICO", "PDF", "EPS", "DDS", "TGA", "PCX", "IM", "SGI"])),
        ]
    )
    path.write_bytes(make())
    if draw.random() < 0.5:
        draw.choice(ANYWHERE)(draw, path)


def _picture(draw: random.Random, form: str) -> bytes:
    file, mode = io.BytesIO(), draw.choice(["RGB", "L", "1", "RGB"])
    mode = "RGB" if form == "SGI" else mode  # which is written of no bilevel picture
    frames = [Image.new(mode, (8, 8))] * draw.choice([1, 1, 40])
    more = {"save_all": True, "append_images": frames[1:]} if form in ("GIF", "TIFF", "WEBP", "PDF") else {}
    frames[0].save(file, form, **more)
    return file.getvalue()


def _png(width: int, height: int, depth: int = 8) -> bytes:
    """A picture in one colour whose pixels pack to nothing, as far as they are there."""

    def chunk(kind: bytes, contents: bytes) -> bytes:
        return (
            struct.pack(">I", len(contents))
            + kind
            + contents
            + struct.pack(">I", zlib.crc32(kind + contents))
        )

    packer, row = zlib.compressobj(1), bytes(1 + min(width, 100_000) * 3 * depth // 8)
    rows = min(height, (80 << 20) // len(row))
    pixels = b"".join([packer.compress(row) for _ in range(rows)]) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _bad_folder(draw: random.Random, root: Path) -> None:
    draw.choice([_circle, _above, _multiply, _deep, _names, _many, _away, _empty])(draw, root)


def _circle(_: random.Random, root: Path) -> None:
    (root / "a" / "c").symlink_to("c")
    (root / "c").symlink_to("c")


def _above(draw: random.Random, root: Path) -> None:
    (root / "a" / "c").symlink_to(draw.choice(["..", ".", "../..", "/proc/self", "/"]))


def _multiply(_: random.Random, root: Path) -> None:
    own = root.parent / "own"
    for level in range(25):
        (own / str(level)).mkdir(parents=True)
        for name in "xy":
            (own / str(level) / name).symlink_to(own / str(level + 1))
    (root / "a" / "c").symlink_to(own / "0")


def _deep(draw: random.Random, root: Path) -> None:
    before = Path.cwd()
    os.chdir(root / "a")
    for _ in range(draw.choice([50, 400])):
        os.mkdir("d" * 20)  # noqa: PTH102  # deeper than a path may be long
        os.chdir("d" * 20)
    os.chdir(before)


def _names(draw: random.Random, root: Path) -> None:
    name = draw.choice(_STRANGE_NAMES)
    place = os.fsencode(root) + b"/" + name
    os.mkdir(place)  # noqa: PTH102  # names that are no text
    for number in (b"1", b"2"):
        os.link(os.fsencode(root) + b"/a/0.png", place + b"/" + name[:240] + number + b".png")


def _many(_: random.Random, root: Path) -> None:
    (root / "c").mkdir()
    for number in range(2000):
        (root / "c" / f"{number}.png").symlink_to("../a/0.png")


def _away(_: random.Random, root: Path) -> None:
    (root / "a" / "0.png").unlink()
    (root / "a" / "0.png").symlink_to("../b")


def _empty(_: random.Random, root: Path) -> None:
    (root / "c").mkdir()


def _strange(draw: random.Random, x: Array, y: Array) -> dict[str, Array]:
    labels: list[Array] = [
        *(
            y.astype(np.float64) + 0.5,
            np.full(6, np.uint64(2**63)),
            np.full(6, -1),
            np.full(6, 10**9),
            y[:3],
            y[:, None],
        ),
        *(
            y.astype(object).astype("U5"),
            y.astype(np.complex64),
            np.array(3),
            y.astype(">i8"),
            np.full(6, 2**62),
        ),
        *(y.astype("M8[s]"), np.array([]), y.astype(bool)),
    ]
    images: list[Array] = [
        *(
            x.astype(np.float32),
            np.full_like(x, np.nan, np.float64),
            x / 255,
            x.astype(np.int64),
            x[:, 0, 0, 0],
            x[:, :, :, :0],
        ),
        *(
            x.astype("U3"),
            x.astype(np.complex128),
            np.asfortranarray(x / 255),
            (x / 255).astype(">f4"),
            x[:0],
        ),
        *(
            np.zeros((6, 20_000), np.uint8),
            np.zeros((6, 9, 8, 8)),
            np.zeros((6, 1, 1, 1)),
            np.zeros((6, 1, 8, 9)),
        ),
        *(
            np.zeros((6, 1, 5_000, 5_000), np.uint8),
            np.zeros((6, 1, 2_000, 2_000), np.uint8),
            np.array(None, "f4"),
        ),
    ]
    if draw.random() < 0.5:
        return {"x": x, "y": draw.choice(labels)}
    arrays = {"x": draw.choice(images), "y": y}
    return arrays if draw.random() < 0.9 else {"x": x, "\x1b[31m" * 5: y}


def _npy(draw: random.Random) -> bytes:
    """An array whose header says something else than what follows."""
    shape = draw.choice(
        ["(6, 1, 8, 8)", "(1000000000000, 3, 224, 224)", "(6, -1)", "(" * 500, "(6,) * 10**9", "None"]
    )
    shape = draw.choice(
        [shape, "(1, 1, 100000, 100000)", "(99999999999999999999,)", repr(draw.choice(VALUES))[:2000]]
    )
    kind = draw.choice(["|u1", "<f4", "|O", "<i8", "V99999999999", "|S0", "<U1073741823", "[('a', '<f4')]"])
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode(errors="replace")
    length = draw.choice([len(header), len(header), 0, 65535])
    return (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", length & 0xFFFF)
        + header
        + bytes(draw.choice([0, 384, 5000]))
    )


def _archive(draw: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in draw.choice([("x", "y"), ("x", "y"), ("x",), tuple(map(str, range(5000)))]):
            archive.writestr(f"{name}.npy", _npy(draw))
        if draw.random() < 0.2:
            archive.writestr("z.npy", bytes(64 << 20))
    return file.getvalue()
