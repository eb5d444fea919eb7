"""State dicts come out of a file with what lay beside them; what holds none says why, in one line."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from advbench.errors import CheckpointError
from advbench.models.checkpoint.formats import Format
from advbench.models.checkpoint.read import read_state_dicts
from tests.checkpoints import save_legacy
from tests.hostile import Call

W = torch.arange(3.0)
WRITERS: dict[Format, Callable[[Any, Path], None]] = {Format.PICKLE: torch.save, Format.LEGACY: save_legacy}


@pytest.fixture(params=WRITERS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found


def test_every_state_dict_is_read_the_likely_ones_first(form: Format, tmp_path: Path) -> None:
    content = {"zoo": {"w": W + 1}, "model": {"w": W, "epochs": 3}, "lr": torch.tensor(0.5), "bag": Path("x")}
    WRITERS[form](content, path := tmp_path / "a.pt")
    states = read_state_dicts(path, form)
    assert [label for label, _ in states.state_dicts] == ["model", "zoo", ""]
    by_label = dict(states.state_dicts)
    assert by_label["model"].keys() == {"w"}
    assert torch.equal(by_label["zoo"]["w"], W + 1)
    assert sum(states.skipped.values()) == 1


def test_safetensors_are_one_state_dict_at_the_top(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": W}, path := tmp_path / "a.safetensors")
    ((label, state),) = read_state_dicts(path, Format.SAFETENSORS).state_dicts
    assert (label, list(state)) == ("", ["w"])
    safetensors.torch.save_file({}, path)
    with pytest.raises(CheckpointError, match="holds no state dict: it has no tensors"):
        read_state_dicts(path, Format.SAFETENSORS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3, "lr\n\x1b": 0.1}, r"could be found (top level: epoch, lr\n\x1b)."),
        ({str(k): k for k in range(20)}, "(top level: 0, 1, 2, 3, 4, 5, 6, 7)."),
        ([1, 2], "(top level: list)."),
        (W, "could be found (top level: a tensor)."),
        (Path("x"), "holds pickled code (pathlib."),
        ({"net": Path("x")}, "holds pickled code (pathlib."),
        (Call(print, ["x"]), "holds pickled code (builtins.print"),
    ],
)
def test_a_file_without_one_says_what_it_holds(content: Any, said: str, form: Format, tmp_path: Path) -> None:
    WRITERS[form](content, path := tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        read_state_dicts(path, form)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_torch_did_not_write_names_what_it_names(tmp_path: Path) -> None:
    (path := tmp_path / "a.pkl").write_bytes(pickle.dumps({"w": Path("x")}))
    with pytest.raises(
        CheckpointError, match=r"torch\.save did not write \(it names pathlib\S*; it was not run\)"
    ):
        read_state_dicts(path, Format.LEGACY)
    path.write_bytes(pickle.dumps({"w": 3}))
    with pytest.raises(CheckpointError, match=r"torch\.save did not write\. Save"):
        read_state_dicts(path, Format.LEGACY)


@pytest.mark.parametrize("kept", [3, 100, -1])
def test_a_file_that_breaks_off_is_called_damaged(kept: int, form: Format, tmp_path: Path) -> None:
    WRITERS[form]({"w": W}, path := tmp_path / "a.pt")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_state_dicts(path, form)


def test_memory_that_runs_out_is_not_called_damage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("no more")

    torch.save({"w": W}, file := io.BytesIO())
    (path := tmp_path / "a.pt").write_bytes(file.getvalue())
    monkeypatch.setattr(torch, "frombuffer", full)
    with pytest.raises(torch.OutOfMemoryError):
        read_state_dicts(path, Format.PICKLE)
