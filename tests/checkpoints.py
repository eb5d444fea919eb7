"""What tests of checkpoints share: a network that no new one equals, and how a file is loaded or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench.errors import CheckpointError
from advbench.models.checkpoint.load import Loaded, load_checkpoint
from advbench.models.digits_cnn import DigitsCNN
from advbench.names.grammar import parse_spec

State = dict[str, Tensor]
Build = Callable[[], nn.Module]


def distinct_network() -> DigitsCNN:
    """A network none of whose weights or statistics are those that a new one starts with."""
    network = DigitsCNN()
    generator = torch.Generator().manual_seed(1)
    for value in network.state_dict().values():
        value.copy_(
            torch.rand(value.shape, generator=generator) + 1 if value.is_floating_point() else value + 7
        )
    return network.eval()


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


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)
