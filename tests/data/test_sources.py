"""Data sets give pixels in [0, 1] and labels in a fixed order; a missing or damaged one says so."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from advbench.data.batches import batches
from advbench.data.load import load_dataset
from tests.data.places import LABELS, PIXELS, Array, place, read, refusal


def test_mnist_is_read_in_its_published_order(shared: Path) -> None:
    dataset = load_dataset("mnist", place(shared / "data/mnist"))
    assert np.bincount(dataset.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    (batch,) = batches(dataset, range(10), 10)
    assert batch.y.tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert batch.x.shape == (10, 1, 28, 28)
    assert (float(batch.x.min()), float(batch.x.max())) == (0.0, 1.0)


def write_mnist(root: Path, images: Array, labels: Array) -> Path:
    """The four idx files of an MNIST of these images."""
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">HBB{content.ndim}I", 0, 8, content.ndim, *content.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + content.astype(np.uint8).tobytes())
    return folder


def test_mnist_files_are_read_as_they_are(tmp_path: Path) -> None:
    write_mnist(tmp_path, PIXELS[:, 0], LABELS)
    batch = read("mnist", place(tmp_path))
    torch.testing.assert_close(batch.x, torch.from_numpy(PIXELS[:, :1]) / 255)
    assert batch.y.tolist() == LABELS.tolist()


@pytest.mark.parametrize("kept", [b"", b"\0", b"\0\0\x08\x03\0\0", b"no idx file, but text", 16, 50, -1])
def test_a_damaged_mnist_is_refused(kept: bytes | int, tmp_path: Path) -> None:
    file = write_mnist(tmp_path, PIXELS[:, 0], LABELS) / "t10k-images-idx3-ubyte"
    file.write_bytes(kept if isinstance(kept, bytes) else file.read_bytes()[:kept])
    assert str(tmp_path) in refusal("mnist", place(tmp_path))


def test_an_mnist_with_more_labels_than_images_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, PIXELS[:5, 0], LABELS)
    assert str(tmp_path) in refusal("mnist", place(tmp_path))


def write_folder(root: Path, sides: tuple[int, ...] = (4, 4)) -> Path:
    """A folder of two classes, written in the wrong order, with an image a side; returns the last file."""
    for name, colour in (("dog", 200), ("cat", 100)):
        (root / name).mkdir(parents=True)
        for i, side in enumerate(sides):
            Image.fromarray(np.full((side, side, 3), colour + i, dtype=np.uint8)).save(
                root / name / f"{i}.png"
            )
    return root / "dog" / f"{len(sides) - 1}.png"


@pytest.mark.parametrize("inside", ["", "test"])
def test_a_folder_of_images_is_read_in_alphabetical_order(inside: str, tmp_path: Path) -> None:
    write_folder(tmp_path / inside)
    assert load_dataset("imagefolder", place(tmp_path)).classes == ["cat", "dog"]
    batch = read("imagefolder", place(tmp_path))
    assert batch.x.shape == (4, 3, 4, 4)
    assert batch.y.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(batch.x[:, 0, 0, 0] * 255, torch.tensor([100.0, 101.0, 200.0, 201.0]))


def test_images_of_mixed_sizes_are_refused_until_a_size_is_given(tmp_path: Path) -> None:
    write_folder(tmp_path, sides=(4, 9))
    message = refusal("imagefolder", place(tmp_path))
    assert f"(3, 4, 4) at index 2 ({tmp_path}/dog/0.png)" in message
    assert f"(3, 9, 9) at index 3 ({tmp_path}/dog/1.png)" in message
    assert "--image-size" in message
    batch = read("imagefolder", place(tmp_path, image_size=8))
    assert batch.x.shape == (4, 3, 8, 8)
    colours = torch.tensor([100.0, 101.0, 200.0, 201.0])
    torch.testing.assert_close(batch.x.mean((1, 2, 3)) * 255, colours)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_a_damaged_image_is_refused_by_its_name(damage: str, tmp_path: Path) -> None:
    file = write_folder(tmp_path)
    file.write_bytes({"empty": b"", "text": b"no image", "truncated": file.read_bytes()[:45]}[damage])
    assert str(file) in refusal("imagefolder", place(tmp_path))


@pytest.mark.parametrize(
    ("name", "split"), [("digits", "val"), ("mnist", "val"), ("svhn", "validation"), ("cifar10", "Test")]
)
def test_an_unknown_split_is_refused_with_the_known_ones(name: str, split: str, tmp_path: Path) -> None:
    message = refusal(name, place(tmp_path, split))
    assert repr(split) in message
    assert "train, test" in message


@pytest.mark.parametrize("name", ["imagefolder", "imagenet"])
def test_the_splits_of_a_folder_are_not_taken_for_its_classes(name: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_folder(tmp_path / split)
    assert "nosuch" in refusal(name, place(tmp_path, "nosuch"))


LAYOUTS: dict[str, Array] = {
    "n c h w": PIXELS,
    "n h w 3": PIXELS.transpose(0, 2, 3, 1),
    "n h w 1": PIXELS[:, 0, :, :, None],
    "n h w": PIXELS[:, 0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_every_layout_and_type_are_read(
    save: Callable[..., None], dtype: str, layout: str, tmp_path: Path
) -> None:
    x = LAYOUTS[layout]
    given = x if dtype == "uint8" else (x / 255).astype(dtype)
    save(tmp_path / "test.npz", x=given, y=LABELS.astype("uint8" if dtype == "uint8" else ">i4"))
    batch = read("npz", place(tmp_path))
    expected = torch.from_numpy(np.float32(PIXELS if "3" in layout or "c" in layout else PIXELS[:, :1])) / 255
    torch.testing.assert_close(batch.x, expected, atol=1e-3 if dtype == "float16" else 1e-7, rtol=0)
    assert batch.y.tolist() == LABELS.tolist()


def test_an_npz_is_found_by_its_name_and_by_its_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x=PIXELS, y=LABELS)
    np.savez(tmp_path / "test.npz", x=PIXELS[:2], y=LABELS[:2])
    sizes = [len(load_dataset("npz", place(tmp_path, split))) for split in ("train", "test")]
    assert sizes == [6, 2]
    assert len(load_dataset("npz", place(tmp_path / "train.npz", "test"))) == 6


class Calls:
    """An object whose unpickling makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("guilty", ["x", "y"])
def test_an_npz_with_objects_is_refused_and_not_unpickled(guilty: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "evil.npz"
    arrays: dict[str, Any] = {"x": PIXELS, "y": LABELS, guilty: np.array([Calls(marker)] * 6, dtype=object)}
    np.savez(path, **arrays)
    assert str(path) in refusal("npz", place(path))
    assert not marker.exists()
    with np.load(path, allow_pickle=True) as unsafe:  # the file is a real attack
        assert len(unsafe[guilty]) == 6
    assert marker.exists()


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (PIXELS.astype(np.int64), LABELS, "int64"),
        (PIXELS > 9, LABELS, "bool"),
        (PIXELS[:, 0, 0], LABELS, "(6, 5)"),
        (PIXELS[None], LABELS[:1], "(1, 6, 3, 4, 5)"),
        (np.float32(1), LABELS, "()"),
        (PIXELS, LABELS[:5], "(5,)"),
        (PIXELS, LABELS[:, None], "(6, 1)"),
        (PIXELS, np.int64(1), "()"),
        (PIXELS, LABELS / 2, "float64"),
        (PIXELS, LABELS - 1, "got -1"),
        (PIXELS[:0], LABELS[:0], "no images"),
        (PIXELS.astype(np.float32), LABELS, "[0, 1]"),
        (PIXELS * np.nan, LABELS, "nan"),
    ],
)
def test_arrays_that_are_no_images_or_labels_are_refused(
    x: Any, y: Any, expected: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "test.npz", x=x, y=y)
    assert expected in refusal("npz", place(tmp_path))


def saved(save: Callable[..., None], **arrays: Array) -> bytes:
    save(file := io.BytesIO(), **arrays)
    return file.getvalue()


def text_members(file: io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, "text")


COMPRESSED = saved(np.savez_compressed, x=np.tile(PIXELS, (50, 1, 1, 1)), y=np.tile(LABELS, 50))
NO_NPZ = {
    "empty": b"",
    "text": b"x, y, 1, 2",
    "other names": saved(np.savez, images=PIXELS, labels=LABELS),
    "truncated": saved(np.savez, x=PIXELS, y=LABELS)[:-30],
    "garbled": COMPRESSED[:200] + b"\xff" * 40 + COMPRESSED[240:],
    "one array": saved(np.save, arr=PIXELS),
    "text members": saved(text_members),
}


@pytest.mark.parametrize("content", NO_NPZ.values(), ids=NO_NPZ.keys())
def test_a_file_that_is_no_npz_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    message = refusal("npz", place(path))
    assert str(path) in message
    assert "allow_pickle" not in message, "that is advice for programmers, and unsafe"


@pytest.mark.parametrize("name", ["digits", "npz"])
def test_images_that_are_used_as_they_are_take_no_size(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", x=PIXELS, y=LABELS)
    message = refusal(name, place(tmp_path, image_size=4))
    assert "its images are used as they are; leave --image-size away." in message


def test_imagenets_test_split_is_the_validation_images_at_224_pixels(tmp_path: Path) -> None:
    write_folder(tmp_path / "val", sides=(300, 260))
    batch = read("imagenet", place(tmp_path))
    assert batch.x.shape[1:] == (3, 224, 224)
    assert read("imagenet", place(tmp_path, image_size=32)).x.shape[1:] == (3, 32, 32)
