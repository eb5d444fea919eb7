"""What tests share: the files beside the repository, and small models."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn
from torch.utils.data import TensorDataset

from tests.small import Network

# The same examples every time: a check that fails must fail again when it is run again.
settings.register_profile("checks", deadline=None, derandomize=True)
settings.load_profile("checks")

SHARED = Path(os.environ.get("ADVBENCH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with public data sets and checkpoints, beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(
            f"public data sets and checkpoints are not at {SHARED}; set ADVBENCH_SHARED to their folder"
        )
    return SHARED


@pytest.fixture
def linear_model() -> nn.Sequential:
    """A linear classifier of 4x4 grey images into 3 classes, with fixed weights."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    network = Network()
    network(torch.rand(8, 1, 4, 4))  # running statistics that are not the initial ones
    return network


@pytest.fixture
def data(network: Network) -> TensorDataset:
    x = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = network.eval()(x).argmax(1)
    y[:10] = (y[:10] + 1) % 3  # a fifth is wrong before any attack
    network.train()
    return TensorDataset(x, y)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """With two, barriers spin whenever another process has the other core: up to tenfold times."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SIGNALS = (signal.SIGINT, signal.SIGTERM)


def open_files() -> set[str]:
    """The files below the current folder that this process holds open, where the system tells."""
    home = Path("/proc/self/fd")
    links = [str(link.readlink()) for link in home.iterdir() if link.is_symlink()] if home.exists() else []
    return {link for link in links if link.startswith(str(Path.cwd()))}


@pytest.fixture
def untouched(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fails where anything is printed, a handler, a generator or the threads changed, or a file left open."""
    torch.manual_seed(3)
    before = [signal.getsignal(number) for number in SIGNALS]
    drawn = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002  # as found
    threads = torch.get_num_threads(), torch.get_num_interop_threads()
    tf32, files = torch.backends.cudnn.allow_tf32, open_files()
    grad, default = torch.is_grad_enabled(), torch.get_default_dtype()
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert str(np.random.get_state()) == drawn[1]  # noqa: NPY002  # as found
    assert random.getstate() == drawn[2]
    assert (torch.get_num_threads(), torch.get_num_interop_threads()) == threads
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (grad, default)
    assert torch.backends.cudnn.allow_tf32 == tf32
    assert open_files() <= files
    assert capfd.readouterr() == ("", "")
