"""Image quilting against plain loops, and banks that cannot be used."""

import io
import itertools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from advbench.defenses import Quilt, patch_bank
from advbench.errors import DefenseError, SpecError
from tests.defenses.families import BANKS, images, streams

Array = npt.NDArray[np.float32]


def cheapest_path(error: Array) -> list[int]:
    """By trying every path."""
    length, width = error.shape
    paths = [
        path
        for path in itertools.product(range(width), repeat=length)
        if all(abs(a - b) <= 1 for a, b in itertools.pairwise(path))
    ]
    return list(min(paths, key=lambda path: sum(error[i, j] for i, j in enumerate(path))))


def sew(left: Array, right: Array, overlap: int) -> Array:
    """Two pieces `(c, l, w)` side by side."""
    path = cheapest_path(((left[..., -overlap:] - right[..., :overlap]) ** 2).sum(0))
    seam = left[..., -overlap:].copy()
    for i, start in enumerate(path):
        seam[:, i, start:] = right[:, i, start:overlap]
    return np.concatenate([left[..., :-overlap], seam, right[..., overlap:]], axis=-1)


def quilted(x: Array, bank: Array, overlap: int) -> Array:
    """One image `(c, h, w)` of fitting size out of the nearest patches, patch by patch."""
    size = bank.shape[-1]
    stride = size - overlap
    result: Array | None = None
    for i in range(0, x.shape[1] - size + 1, stride):
        strip: Array | None = None
        for j in range(0, x.shape[2] - size + 1, stride):
            patch = x[:, i : i + size, j : j + size]
            tile = bank[((bank - patch) ** 2).sum((1, 2, 3)).argmin()]
            strip = tile if strip is None else sew(strip, tile, overlap)
        assert strip is not None
        turned = strip.transpose(0, 2, 1)
        result = turned if result is None else sew(result, turned, overlap)
    assert result is not None
    return result.transpose(0, 2, 1)


@pytest.mark.parametrize(("size", "overlap", "side"), [(5, 2, 8), (5, 1, 9), (3, 1, 7), (6, 3, 9), (4, 2, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_nearest_patches_are_sewn_as_plain_loops_sew_them(
    channels: int, size: int, overlap: int, side: int
) -> None:
    bank = patch_bank(images(20, channels, 12, 12), size=size, count=60)
    x = images(2, channels, side, side, seed=1)
    y = Quilt(bank=bank, neighbours=1, overlap=overlap)(x, streams(x))
    for got, image in zip(y, x, strict=True):
        np.testing.assert_array_equal(got.numpy(), quilted(image.numpy(), bank.numpy(), overlap))


def test_an_image_whose_own_patches_are_in_the_bank_comes_back() -> None:
    x = images(1, 3, 17, 14)
    bank = x.unfold(2, 5, 1).unfold(3, 5, 1)[0].permute(1, 2, 0, 3, 4).flatten(0, 1)
    assert torch.equal(Quilt(bank=bank, neighbours=1)(x, streams(x)), x)


def test_every_pixel_is_one_of_the_banks() -> None:
    x = images(3, 3, 10, 13)
    y = Quilt(bank=BANKS[3])(x, streams(x))
    assert set(y.flatten().tolist()) <= set(BANKS[3].flatten().tolist())


def test_each_of_the_nearest_patches_is_drawn_as_often_as_the_others() -> None:
    levels = torch.tensor([0.5, 0.52, 0.54, 0.9, 0.1])
    bank = levels.view(-1, 1, 1, 1).expand(-1, 1, 5, 5)
    x = torch.full((3000, 1, 5, 5), 0.5)
    y = Quilt(bank=bank, neighbours=3)(x, streams(x))
    share = [(y[:, 0, 0, 0] == level).float().mean().item() for level in levels]
    assert share[:3] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert share[3:] == [0.0, 0.0]


def test_a_bank_is_cut_out_of_the_images() -> None:
    x = images(3, 2, 6, 7)
    bank = patch_bank(x, size=3, count=50)
    assert bank.shape == (50, 2, 3, 3)
    whole = x.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    known = {tuple(each.flatten().tolist()) for each in whole}
    assert all(tuple(each.flatten().tolist()) in known for each in bank)
    assert len({tuple(each.flatten().tolist()) for each in bank}) > 25
    assert torch.equal(patch_bank(x, size=3, count=50), bank)
    assert not torch.equal(patch_bank(x, size=3, count=50, seed=1), bank)


def test_a_bank_is_read_from_either_kind_of_file(tmp_path: Path) -> None:
    bank, x = BANKS[1], images(2, 1, 8, 8)
    np.save(tmp_path / "bank.npy", bank.numpy())
    np.savez(tmp_path / "bank.npz", bank=bank.numpy())
    expected = Quilt(bank=bank)
    for name in ("bank.npy", "bank.npz"):
        g = Quilt(bank=str(tmp_path / name))
        assert g == expected
        assert torch.equal(g(x, streams(x)), expected(x, streams(x)))
    assert Quilt(bank=bank + 0.01).digest != expected.digest


def saved(write: Any) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def bomb(file: Any) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bank.npy", "w") as member:
        for _ in range(1100):
            member.write(bytes(1 << 20))


REFUSED = {
    "damaged": (b"\x93NUMPY", "damaged"),
    "no array": (b"hello", "damaged"),
    "pickled": (saved(lambda file: np.save(file, np.array([{}]), allow_pickle=True)), "pickled"),
    "other array": (
        saved(lambda file: np.savez(file, x=np.zeros(3))),
        "must hold an array 'bank', it holds x",
    ),
    "wrong shape": (saved(lambda file: np.save(file, np.zeros((4, 5, 5)))), r"got \(4, 5, 5\)"),
    "not square": (saved(lambda file: np.save(file, np.zeros((4, 1, 5, 4)))), r"got \(4, 1, 5, 4\)"),
    "bytes": (saved(lambda file: np.save(file, np.zeros((40, 1, 5, 5), np.uint8))), "got torch.uint8"),
    "not a number": (saved(lambda file: np.save(file, np.full((40, 1, 5, 5), np.nan))), "finite"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bank_that_cannot_be_used_is_refused(what: str, tmp_path: Path) -> None:
    content, message = REFUSED[what]
    path = tmp_path / "bank.npy"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=message) as refused:
        Quilt(bank=path)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_bank_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    bomb(tmp_path / "bank.npz")
    with pytest.raises(SpecError, match="refused: it has"):
        Quilt(bank=tmp_path / "bank.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            Quilt,
            r"needs a bank of clean patches: make one .* advbench.defenses.patch_bank\(images\)",
        ),
        (lambda: Quilt(bank="nowhere.npy"), "no bank 'nowhere.npy': make one"),
        (lambda: Quilt(bank=BANKS[1], neighbours=0), "neighbours must lie in 1..400, the bank's size, got 0"),
        (lambda: Quilt(bank=BANKS[1], neighbours=401), "neighbours must lie in 1..400"),
        (lambda: Quilt(bank=BANKS[1], overlap=0), r"overlap must lie in 1..2 for this bank, got 0"),
        (lambda: Quilt(bank=BANKS[1], overlap=3), r"overlap must lie in 1..2 for this bank, got 3"),
        (lambda: patch_bank(torch.rand(3, 8, 8)), r"images \(3, 8, 8\)"),
        (lambda: patch_bank(torch.rand(3, 1, 4, 8)), "patches of side 5"),
        (lambda: patch_bank(torch.rand(3, 1, 8, 8), count=0), "0 patches"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_a_bank_of_other_channels_is_refused() -> None:
    x: Tensor = images(1, 3, 8, 8)
    with pytest.raises(DefenseError, match="patches have 1 channels, the images 3"):
        Quilt(bank=BANKS[1])(x, streams(x))
