"""The digits are scikit-learn's, in a split that stays, without its import."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from advbench.data import digits
from tests.data.places import place, read


@pytest.mark.parametrize(
    ("split", "n", "digest"),
    [
        ("train", 1437, "30e2e748c8c4ade3730e1410cc1ecff455f3b1d1e3609774b50831ffd3ea4443"),
        ("test", 360, "0b158ab078d0e70779b9decc98a20f2e58c7c21337cf7655cb74843562f00e31"),
    ],
)
def test_the_digits_split_is_fixed(split: str, n: int, digest: str, tmp_path: Path) -> None:
    batch = read("digits", place(tmp_path / "none is needed", split))
    assert batch.x.shape == (n, 1, 8, 8)
    levels = (batch.x * 16).to(torch.uint8)
    assert torch.equal(levels / 16, batch.x)
    assert hashlib.sha256(levels.numpy().tobytes() + batch.y.numpy().tobytes()).hexdigest() == digest


def test_the_digits_splits_are_disjoint_and_stratified(tmp_path: Path) -> None:
    train, test = (read("digits", place(tmp_path, split)) for split in ("train", "test"))
    whole = sorted(row.tobytes() for row in load_digits().images.astype(np.float32) / 16)
    assert sorted(row.numpy().tobytes() for row in torch.cat([train.x, test.x])) == whole
    share = test.y.bincount() / (train.y.bincount() + test.y.bincount())
    assert share.min() > 0.19
    assert share.max() < 0.21


@pytest.mark.parametrize("without_file", [False, True])
def test_the_digits_and_their_split_are_scikit_learns(
    without_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without_file:
        monkeypatch.setattr(digits, "_FILE", "nothing")
    images, labels, is_test = digits.load()
    bunch = load_digits()
    assert np.array_equal(images, bunch.images)
    assert np.array_equal(labels, bunch.target)
    order = np.arange(len(labels))
    train, test = train_test_split(order, train_size=0.8, stratify=labels, random_state=0)
    assert np.array_equal(np.flatnonzero(is_test), np.sort(test))
    assert np.array_equal(np.flatnonzero(~is_test), np.sort(train))


def test_the_digits_come_without_importing_scikit_learn() -> None:
    code = "import sys; from advbench.data import digits; digits.load(); print('sklearn' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
