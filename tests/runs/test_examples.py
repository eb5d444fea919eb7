"""Adversarial examples go into a file and come back to the bit; another file is refused by what it lacks."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advbench.errors import RunFolderError
from advbench.results.table import Cell
from advbench.runs.examples import Examples, pack_examples, read_examples

CELL = Cell("round@layer1 ü", "pgd:steps=3", "bpda")
NAMED = CELL._asdict()


def examples(count: int) -> Examples:
    x_adv = torch.rand(count, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    return Examples(CELL, torch.arange(count).flip(0) * 7, x_adv)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_examples_come_back_to_the_bit(count: int, tmp_path: Path) -> None:
    (path := tmp_path / "a.safetensors").write_bytes(pack_examples(examples(count), {"seed": "0"}))
    cell, indices, x_adv = read_examples(path)
    assert cell == CELL
    assert torch.equal(indices, examples(count).indices)
    assert torch.equal(x_adv, examples(count).x_adv)
    with safetensors.safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["origin"]) == {"seed": "0"}


def test_views_are_written_as_what_they_show(tmp_path: Path) -> None:
    whole = examples(4)
    part = Examples(CELL, whole.indices[::2], whole.x_adv.transpose(2, 3)[::2])
    (path := tmp_path / "a.safetensors").write_bytes(pack_examples(part, {}))
    assert torch.equal(read_examples(path).x_adv, part.x_adv)


ONE: dict[str, Tensor] = {"index": torch.zeros(1).long(), "x_adv": torch.zeros(1, 1, 2, 2)}
FORM = "must hold index (n,) int64 and x_adv (n, c, h, w) float32"


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({"x_adv": ONE["x_adv"]}, NAMED, "holds no adversarial examples of a run"),
        (ONE, None, "holds no adversarial examples of a run"),
        (ONE, {"defense": "round", "attack": "pgd"}, "holds no adversarial examples of a run"),
        (ONE, {**NAMED, "rung": "best"}, "holds no adversarial examples of a run"),
        ({**ONE, "index": torch.zeros(1).int()}, NAMED, FORM),
        ({**ONE, "index": torch.zeros(1, 1).long()}, NAMED, FORM),
        ({**ONE, "x_adv": torch.zeros(1, 4)}, NAMED, FORM),
        ({**ONE, "x_adv": torch.zeros(1, 1, 2, 2).double()}, NAMED, FORM),
        ({**ONE, "index": torch.zeros(0).long()}, NAMED, "does not hold one example an image"),
        ({"index": torch.tensor([3, 3]), "x_adv": torch.zeros(2, 1, 2, 2)}, NAMED, "does not hold one"),
    ],
)
def test_a_file_of_another_form_is_refused_by_what_it_lacks(
    tensors: dict[str, Tensor], metadata: dict[str, Any] | None, said: str, tmp_path: Path
) -> None:
    (path := tmp_path / "a.safetensors").write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(RunFolderError) as caught:
        read_examples(path)
    assert str(caught.value).startswith(f"{path} {said}")


@pytest.mark.parametrize("contents", [b"", b"x" * 100, pack_examples(examples(3), {})[:-1]])
def test_a_damaged_file_is_called_so(contents: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "a.safetensors").write_bytes(contents)
    with pytest.raises(RunFolderError, match="is damaged"):
        read_examples(path)


def test_what_is_not_there_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunFolderError, match="is no file"):
            read_examples(path)
