"""Checkpoints of every usual form load; whatever is unsafe, damaged or does not fit says so in one line."""

import hashlib
import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from advbench.checkpoint.load import Loaded, load_checkpoint, sha256
from advbench.errors import CheckpointError
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.lenet5 import LeNet5
from advbench.models.resnet_cifar import resnet20, resnet32
from advbench.spec import parse_spec

State = dict[str, Tensor]
Save = Callable[[Any, Path], None]
Build = Callable[[], nn.Module]
X = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> DigitsCNN:
    """A network none of whose weights or statistics are those that a new one starts with."""
    network = DigitsCNN()
    generator = torch.Generator().manual_seed(1)
    for value in network.state_dict().values():
        value.copy_(
            torch.rand(value.shape, generator=generator) + 1 if value.is_floating_point() else value + 7
        )
    return network.eval()


@pytest.fixture
def state(network: DigitsCNN) -> State:
    return dict(network.state_dict())


@pytest.fixture(scope="module")
def programs(network: DigitsCNN, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network as a TorchScript archive and as an exported program."""
    folder = tmp_path_factory.mktemp("programs")
    paths = {"TorchScript": folder / "script.pt", "torch.export": folder / "exported.pt2"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # saving is the test's business, and torch deprecates it
        script = torch.jit.trace(network, X)  # type: ignore[no-untyped-call]  # untyped in torch
        torch.jit.save(script, paths["TorchScript"])
        batch = {"x": {0: torch.export.Dim("n")}}
        torch.export.save(torch.export.export(network, (X,), dynamic_shapes=batch), paths["torch.export"])
    return paths


def load(path: Path, build: Build = DigitsCNN, name: str = "digits-cnn", trust: bool = False) -> Loaded:
    return load_checkpoint(path, build, parse_spec(name), torch.device("cpu"), trust_program=trust)


def refusal(path: Path, build: Build = DigitsCNN, name: str = "digits-cnn", trust: bool = False) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path, build, name, trust)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), "FILE")  # a temporary folder is named after its test


def assert_holds(loaded: Loaded, state: State) -> None:
    own = loaded.network.state_dict()
    assert own.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(own[key], value), key


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


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


PREFIXES = (
    "module. _orig_mod. model. module._orig_mod. _orig_mod.module. model.module. model.model. net. 1. a.b."
)


@pytest.mark.parametrize("prefix", PREFIXES.split())
def test_prefixes_of_wrapping_modules_are_stripped(prefix: str, state: State, tmp_path: Path) -> None:
    wrapped = {prefix + key: value for key, value in state.items()}
    torch.save({"state_dict": wrapped}, path := tmp_path / "a.pt")
    assert_holds(load(path), state)


def test_a_prefix_that_the_network_has_too_stays(network: DigitsCNN, tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.ModuleDict({"model": DigitsCNN()})

    theirs = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save({f"module.{key}": value for key, value in theirs.items()}, path := tmp_path / "a.pt")
    assert_holds(load(path, build, "mine"), theirs)


def test_an_averaged_model_loads(network: DigitsCNN, state: State, tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network)
    averaged.update_parameters(network)
    assert "n_averaged" in averaged.state_dict()
    torch.save({"ema": averaged.state_dict()}, path := tmp_path / "ema.pt")
    assert_holds(load(path), state)


def test_a_file_from_before_batches_were_counted_loads(state: State, tmp_path: Path) -> None:
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    save_legacy(old, path := tmp_path / "old.pth")
    own = load(path).network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in old.items())


def test_half_precision_weights_load_into_a_single_precision_network(state: State, tmp_path: Path) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    torch.save(half, path := tmp_path / "half.pt")
    own = load(path).network.state_dict()
    assert all(torch.equal(own[key], value.to(own[key].dtype)) for key, value in half.items())
    assert own["linear.weight"].dtype == torch.float32


@pytest.mark.parametrize("form", ["TorchScript", "torch.export"])
@pytest.mark.parametrize("suffix", ["as saved", ".pth"])
def test_a_trusted_program_gives_the_networks_logits_and_input_gradients(
    form: str, suffix: str, programs: dict[str, Path], network: DigitsCNN, tmp_path: Path
) -> None:
    path = programs[form]
    if suffix != "as saved":
        path = tmp_path / f"program{suffix}"
        path.write_bytes(programs[form].read_bytes())
    loaded = load(path, trust=True)
    assert loaded.source == form
    assert not loaded.network(X).requires_grad, "its parameters should be frozen"
    x, x_own = X.clone().requires_grad_(), X.clone().requires_grad_()
    loaded.network.eval()(x).square().sum().backward()
    network(x_own).square().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(loaded.network(X), network(X))
    torch.testing.assert_close(x.grad, x_own.grad)


@pytest.mark.parametrize("form", ["TorchScript", "torch.export"])
def test_a_program_is_refused_without_trust(form: str, programs: dict[str, Path]) -> None:
    message = refusal(programs[form])
    assert form in message
    assert "--trust-program" in message


@pytest.mark.parametrize(
    "member",
    [
        "models/model.json",
        "archive_format",
        "data/weights/weight_0",
        "data/weights/model_weights_config.json",
        "data/sample_inputs/model.pt",
    ],
)
def test_a_trusted_program_with_a_damaged_member_is_refused(
    member: str, programs: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "exported.pt2"
    with zipfile.ZipFile(programs["torch.export"]) as whole, zipfile.ZipFile(path, "w") as copy:
        for name in whole.namelist():
            copy.writestr(name, b"{}" if name.endswith(member) else whole.read(name))
    assert "truncated or damaged" in refusal(path, trust=True)


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


def test_a_pickle_protocol_that_cannot_be_read_safely_is_named_as_the_reason(
    state: State, tmp_path: Path
) -> None:
    torch.save(state, path := tmp_path / "new.pt", pickle_protocol=4)
    assert "protocol 4" in refusal(path)


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
@pytest.mark.parametrize("kept", [20, 200, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(kept: float, save: Save, state: State, tmp_path: Path) -> None:
    save(state, path := tmp_path / "weights")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
    assert "truncated" in refusal(path)


def archive(**members: str) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as content:
        for name, text in members.items():
            content.writestr(name, text)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"weights, honestly\nand more\n", "not a checkpoint"),
        (b'{"json": "is a text too"}', "not a checkpoint"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a checkpoint"),
        (b"\x1f\x8b\x08" + bytes(100), "not a checkpoint"),
        (archive(**{"readme.txt": "hello"}), "zip archive"),
        (archive(**{"archive/data.pkl": "hello"}), "damaged"),
        (b"\x80\x02garbage", "damaged"),
        (b"\x08\0\0\0\0\0\0\0{garbage", "damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert expected in refusal(path)


@pytest.mark.parametrize(("name", "expected"), [("none.pt", "there is no checkpoint"), ("", "is not a file")])
def test_a_missing_file_or_a_folder_is_refused(name: str, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(tmp_path / name)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(2), {"state_dict": [1]}])
def test_a_file_without_a_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, path := tmp_path / "a.pt")
    assert "no state dict" in refusal(path)


def test_weights_without_a_model_are_refused(state: State, tmp_path: Path) -> None:
    torch.save(state, path := tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="--model"):
        load_checkpoint(path, None, None, torch.device("cpu"))


def test_keys_that_do_not_fit_are_counted_and_the_first_few_are_named(state: State, tmp_path: Path) -> None:
    del state["linear.weight"], state["linear.bias"]
    state |= {f"extra{i}": torch.zeros(1) for i in range(5)}
    state["layer1.0.weight"] = torch.zeros(16, 3, 3, 3)
    torch.save(state, path := tmp_path / "a.pt")
    message = refusal(path)
    assert "2 missing (linear.weight, linear.bias)" in message
    assert "5 unexpected (extra0, extra1, extra2, ...)" in message
    assert "1 of another shape (layer1.0.weight: file 16x3x3x3, model 16x1x3x3)" in message
    assert "extra3" not in message


@pytest.mark.parametrize("name", ["digits-cnn", "digits-cnn:num_classes=10"])
def test_another_number_of_classes_is_recognised(name: str, tmp_path: Path) -> None:
    torch.save(DigitsCNN(num_classes=7).state_dict(), path := tmp_path / "a.pt")
    assert refusal(path, name=name).endswith("--model digits-cnn:num_classes=7.")


def test_another_width_is_not_taken_for_another_number_of_classes(state: State, tmp_path: Path) -> None:
    wider = {key: value.repeat_interleave(2, 0) if value.dim() else value for key, value in state.items()}
    torch.save(wider, path := tmp_path / "a.pt")
    message = refusal(path)
    assert "wider or narrower" in message
    assert "num_classes" not in message


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("given", "its_name", "build", "name"),
    [
        (LeNet5, "lenet5", DigitsCNN, "digits-cnn"),
        (DigitsCNN, "digits-cnn", LeNet5, "lenet5"),
        (resnet20, "resnet20", resnet32, "resnet32"),
        (resnet32, "resnet32", resnet20, "resnet20"),
        (resnet20, "resnet20", DigitsCNN, "digits-cnn"),
    ],
)
def test_another_architecture_is_recognised_by_its_keys(
    given: Build, its_name: str, build: Build, name: str, prefix: str, tmp_path: Path
) -> None:
    torch.save(
        {prefix + key: value for key, value in given().state_dict().items()}, path := tmp_path / "a.pt"
    )
    message = refusal(path, build, name)
    assert "another architecture" in message
    assert repr(its_name) in message


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(content := bytes(range(256)) * 2000)
    assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_keys_that_would_become_one_are_not_stripped(network: DigitsCNN, tmp_path: Path) -> None:
    state = network.state_dict()
    twice = {f"model.{key}": value for key, value in state.items()}
    twice |= {f"module.model.{key}": torch.zeros_like(value) for key, value in state.items()}
    torch.save(twice, tmp_path / "weights.pt")
    assert "does not fit" in refusal(tmp_path / "weights.pt")
