"""Pixels that a rounding has put outside [0, 1] are black or white; those farther outside are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from advbench.data.batches import batches
from advbench.data.roundings import without_roundings
from advbench.errors import DatasetError
from tests.data.places import LABELS, PIXELS, place, read, refusal


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pixels_a_few_roundings_outside_the_box_are_black_or_white(dtype: str, tmp_path: Path) -> None:
    few = {"float16": 3 / 1024, "float32": 3 / 2**23, "float64": 3 / 2**23}[dtype]
    x = (PIXELS / 255).astype(dtype)
    x[0, 0, 0, :4] = (1 + few, -few, 1.0, 0.25)
    np.savez(tmp_path / "test.npz", x=x, y=LABELS)
    batch = read("npz", place(tmp_path))
    assert batch.x[0, 0, 0, :4].tolist() == [1.0, 0.0, 1.0, 0.25]
    assert torch.equal(batch.x[1:], torch.from_numpy(x[1:].astype(np.float32)))
    if dtype == "float64":  # a data set of a user's own may have any type
        return
    (own,) = batches(TensorDataset(torch.from_numpy(x), torch.from_numpy(LABELS)), range(6), 6)
    assert torch.equal(own.x, batch.x)


@pytest.mark.parametrize(
    ("dtype", "outside", "said"),
    [
        ("float32", 1 + 2e-6, "got [0, 1]"),
        ("float64", -1e-5, "got [-1e-05, "),
        ("float16", 1 + 6 / 1024, "1.01]"),
        ("bfloat16", 1.03125, "1.03]"),
        ("float32", 255.0, "255]"),
    ],
)
def test_pixels_farther_outside_are_refused(dtype: str, outside: float, said: str, tmp_path: Path) -> None:
    x = torch.from_numpy(PIXELS / 255).to(getattr(torch, dtype))
    x[0, 0, 0, 0] = outside
    with pytest.raises(DatasetError, match=r"pixels must lie in \[0, 1\]") as caught:
        next(batches(TensorDataset(x, torch.from_numpy(LABELS)), range(6), 6))
    assert said in str(caught.value)
    if dtype != "bfloat16":
        np.savez(tmp_path / "test.npz", x=x.numpy(), y=LABELS)
        assert said in refusal("npz", place(tmp_path))


@pytest.mark.parametrize(
    ("source", "few"),
    [
        (torch.float64, 4 * 2.0**-23),
        (torch.float32, 4 * 2.0**-23),
        (torch.float16, 4 * 2.0**-10),
        (torch.bfloat16, 4 * 2.0**-10),
    ],
)
def test_four_roundings_of_the_type_are_taken_back_and_nothing_beyond(
    source: torch.dtype, few: float
) -> None:
    x = torch.tensor([-few, 0.25, 1.0 + few])
    assert without_roundings(x, source).tolist() == [0.0, 0.25, 1.0]
    for spoilt in (-2.0 * few, 1.0 + 2.0 * few):
        beyond = torch.tensor([-few, spoilt])
        assert torch.equal(without_roundings(beyond, source), beyond), "whoever checks them must see all"


@pytest.mark.parametrize(
    "x", [torch.zeros(0, 1, 2, 2), torch.tensor([torch.nan, -1e-7]), torch.tensor([-torch.inf, 0.5])]
)
def test_no_pixels_and_undefined_ones_are_left_for_the_check(x: Tensor) -> None:
    assert without_roundings(x, torch.float32) is x


def test_whole_numbers_have_no_roundings() -> None:
    x = torch.tensor([-1e-7, 0.5])
    assert without_roundings(x, torch.uint8) is x
