"""Checkpoints of every usual form are read; whatever is unsafe or damaged says so in one line."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from advbench.errors import CheckpointError
from advbench.files import sha256
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.digits_cnn import DigitsCNN
from tests.checkpoints import State, assert_holds, distinct_network, load, refusal, save_legacy

Save = Callable[[Any, Path], None]


@pytest.fixture(scope="module")
def network() -> DigitsCNN:
    return distinct_network()


@pytest.fixture
def state(network: DigitsCNN) -> State:
    return dict(network.state_dict())


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_safetensors(content: Any, path: Path) -> None:
    safetensors.torch.save_file(content, path)


def save_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("suffix", [".pt", ".pth.tar", ".safetensors", ""])
@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
def test_a_state_dict_loads_whatever_its_file_is_called(
    save: Save, suffix: str, state: State, tmp_path: Path
) -> None:
    save(state, path := tmp_path / f"weights{suffix}")
    loaded = load(path)
    assert_holds(loaded, state)
    assert loaded.source == "state dict"


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    "wrapper",
    [
        "state_dict",
        "model_state_dict",
        "model",
        "net",
        "network",
        "ema",
        "model_ema",
        "mine",
        "model.state_dict",
    ],
)
def test_a_state_dict_is_found_under_its_wrapper(
    wrapper: str, save: Save, state: State, tmp_path: Path
) -> None:
    optimizer = {"state": {0: {"momentum": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    content: Any = state
    for key in reversed(wrapper.split(".")):
        content = {"epoch": 3, "optimizer": optimizer, key: content}
    save(content, path := tmp_path / "training.pt")
    loaded = load(path)
    assert_holds(loaded, state)
    assert loaded.source == f"state dict at {wrapper}"


def test_the_weights_themselves_win_over_their_moving_average(state: State, tmp_path: Path) -> None:
    average = {key: torch.zeros_like(value) for key, value in state.items()}
    torch.save({"ema": average, "state_dict": state}, path := tmp_path / "both.pt")
    assert_holds(load(path), state)


class Calls:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[[str], object], argument: str) -> None:
        self.call = (function, (argument,))

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return self.call


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_pickle])
@pytest.mark.parametrize("beside_weights", [False, True])
@pytest.mark.parametrize(
    ("function", "argument"), [(os.system, "touch '{}'"), (eval, "open('{}', 'w').close()")]
)
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(
    function: Callable[[str], object],
    argument: str,
    beside_weights: bool,
    save: Save,
    state: State,
    tmp_path: Path,
) -> None:
    marker, path = tmp_path / "it ran", tmp_path / "evil.pt"
    wish = Calls(function, argument.format(marker))
    save({"wish": wish, "state_dict": state} if beside_weights else wish, path)
    message = refusal(path)
    assert not marker.exists()
    assert "code" in message
    assert function.__name__ in message or save is save_pickle  # a plain pickle breaks off at its tensors
    # The file is a real attack: whoever unpickles it runs it.
    pickle.loads(path.read_bytes()) if save is save_pickle else torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    ("content", "named"),
    [(DigitsCNN(), "DigitsCNN"), ({"best": np.float64(0.9)}, "scalar")],
    ids=["module", "numpy"],
)
def test_a_pickle_of_more_than_tensors_is_refused_by_what_it_holds(
    content: Any, named: str, save: Save, tmp_path: Path
) -> None:
    save(content, path := tmp_path / "whole.pt")
    message = refusal(path)
    assert named in message
    assert "torch.save(" in message


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_is_read(protocol: int, form: str, state: State, tmp_path: Path) -> None:
    torch.save(
        state,
        path := tmp_path / "a.pt",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=form == "zip",
    )
    assert_holds(load(path), state)


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
@pytest.mark.parametrize("kept", [20, 200, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(kept: float, save: Save, state: State, tmp_path: Path) -> None:
    save(state, path := tmp_path / "weights")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(2), {"state_dict": [1]}])
def test_a_file_without_a_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, path := tmp_path / "a.pt")
    assert "no state dict" in refusal(path)


def test_weights_without_a_model_are_refused(state: State, tmp_path: Path) -> None:
    torch.save(state, path := tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="--model"):
        load_checkpoint(path, None, None, torch.device("cpu"))


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(content := bytes(range(256)) * 2000)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
