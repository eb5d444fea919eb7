"""State dicts are put into networks whatever was put around their keys; what does not fit says why."""

from pathlib import Path

import pytest
import torch
from torch import nn

from advbench.models.digits_cnn import DigitsCNN
from advbench.models.lenet5 import LeNet5
from advbench.models.resnet_cifar import resnet20, resnet32
from tests.checkpoints import (
    Build,
    State,
    assert_holds,
    distinct_network,
    load,
    refusal,
    save_legacy,
)


@pytest.fixture(scope="module")
def network() -> DigitsCNN:
    return distinct_network()


@pytest.fixture
def state(network: DigitsCNN) -> State:
    return dict(network.state_dict())


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
    assert "another size of this architecture" in message
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


def test_of_two_copies_under_one_prefix_and_two_one_is_taken_and_the_other_named(
    network: DigitsCNN, tmp_path: Path
) -> None:
    state = network.state_dict()
    twice = {f"model.{key}": value for key, value in state.items()}
    twice |= {f"module.model.{key}": torch.zeros_like(value) for key, value in state.items()}
    torch.save(twice, path := tmp_path / "weights.pt")
    loaded = load(path)
    assert_holds(loaded, dict(state))
    assert "2 networks that fit; model is taken, not module.model" in loaded.notes[0]


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.complex64])
def test_numbers_that_would_become_others_in_silence_are_refused(
    kind: torch.dtype, state: State, tmp_path: Path
) -> None:
    """Quantised weights without their scale, and complex ones, whose imaginary part torch would drop."""
    key = next(name for name, tensor in state.items() if tensor.dim() == 4)
    torch.save({**state, key: state[key].to(kind)}, path := tmp_path / "other.pt")
    told = f"holds {str(kind)[6:]} numbers as {key}, where the network has float32"
    assert told in refusal(path)
