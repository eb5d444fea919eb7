"""Arrays in files: both kinds are read, and what is none is told in a line (banks: `test_quilt.py`)."""

from pathlib import Path

import numpy as np
import pytest

from advbench.defenses.arrays import read_array
from advbench.errors import SpecError


def test_both_kinds_of_file_give_the_same_array(tmp_path: Path) -> None:
    numbers = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", numbers)
    np.savez(tmp_path / "a.npz", table=numbers, other=np.zeros(1))
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(read_array(tmp_path / name, "table", "owner", "make one"), numbers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "owner: there is no table '.*a.npy': make one."),
        (b"\x93NUMPY", "owner: a.npy is damaged, .*: make one."),
    ],
)
def test_what_is_no_array_is_told_with_the_advice(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(SpecError, match=message):
        read_array(tmp_path / "a.npy", "table", "owner", "make one")


def test_an_archive_without_the_array_tells_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(1))
    with pytest.raises(SpecError, match="must hold an array 'table', it holds x"):
        read_array(tmp_path / "a.npz", "table", "owner", "make one")
