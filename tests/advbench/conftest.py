"""Fixtures of the tests of the harness."""

from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.advbench.small import Network


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
