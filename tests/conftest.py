"""What tests share: the files beside the repository, and small models."""

import os
from collections.abc import Iterator
from pathlib import Path

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
