"""Arrays in `.npy` files stay on the disk; their labels lie beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from advbench.data.arrays import open_npy
from advbench.data.load import load_dataset
from tests.data.places import LABELS, PIXELS, place, read, refusal


@pytest.mark.parametrize(
    ("images", "labels"),
    [("test.npy", "labels.npy"), ("x.npy", "y.npy"), ("test/x.npy", "test/targets.npy")],
)
def test_images_and_labels_lie_beside_each_other(images: str, labels: str, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    np.save(tmp_path / images, PIXELS.transpose(0, 2, 3, 1))
    np.save(tmp_path / labels, LABELS)
    for root in (tmp_path, tmp_path / images):
        batch = read("npy", place(root))
        torch.testing.assert_close(batch.x, torch.from_numpy(PIXELS) / 255)
        assert batch.y.tolist() == LABELS.tolist()


def test_images_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "gaussian_noise.npy", PIXELS)
    np.save(tmp_path / "labels.npy", LABELS)
    images = open_npy(tmp_path / "gaussian_noise.npy")
    assert isinstance(images.images.x, np.memmap)  # type: ignore[attr-defined]  # of a private class
    assert len(load_dataset("npy", place(tmp_path / "gaussian_noise.npy"))) == 6


def test_what_is_no_pair_of_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    assert "there is no x.npy." in refusal("npy", place(tmp_path))
    np.save(path, PIXELS)
    assert "none of labels.npy, y.npy, targets.npy is beside x.npy" in refusal("npy", place(path))
    np.save(tmp_path / "y.npy", LABELS[:-1])
    assert "y must hold one whole number an image" in refusal("npy", place(path))
    np.save(tmp_path / "labels.npy", LABELS)
    assert "both labels.npy and y.npy are beside x.npy" in refusal("npy", place(path))
    (tmp_path / "y.npy").unlink()
    np.save(path, np.array([{}] * 6, dtype=object), allow_pickle=True)
    assert "x.npy is damaged, no .npy file, or holds pickled objects." in refusal("npy", place(path))
    with path.open("wb") as file:
        np.savez(file, PIXELS)
    assert "x.npy is an archive of arrays; give it to --dataset npz." in refusal("npy", place(path))
    path.write_bytes(b"")
    assert "x.npy is damaged, no .npy file" in refusal("npy", place(path))
