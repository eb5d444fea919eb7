"""Statistics over processes are those of the whole batch, and so are their gradients."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.training.shared_statistics import Statistics, group_of, normalize, shared_statistics

EPS = 1e-5


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one process."""
    if sys.platform == "win32":
        pytest.skip("gloo meets over a file")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def batch(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 5


def twice(tensor: Tensor, group: object = None) -> None:
    """What an exchange of two processes that have the same batch comes to."""
    tensor.mul_(2)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (6, 4, 3, 2), (1, 4, 2, 2, 2)])
def test_of_one_process_they_are_those_of_its_batch(shape: tuple[int, ...], alone: None) -> None:
    x = batch(*shape)
    found = shared_statistics(x, None)
    values = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(found.mean, values.mean(1))
    torch.testing.assert_close(found.var, values.var(1, correction=0))
    assert found.values.tolist() == [values.shape[1]]


def test_of_two_processes_with_the_same_batch_only_the_count_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dist, "all_reduce", twice)
    x = batch(6, 4, 3)
    found = shared_statistics(x, None)
    torch.testing.assert_close(found.mean, x.mean((0, 2)))
    torch.testing.assert_close(found.var, x.var((0, 2), correction=0))
    assert found.values.tolist() == [36]


def test_a_large_mean_does_not_cost_the_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 the mean of squares minus the square of the mean would be noise."""
    monkeypatch.setattr(dist, "all_reduce", twice)
    x = (batch(64, 2, 8) - 5 + 1e4).float()
    found = shared_statistics(x, None)
    torch.testing.assert_close(found.var, x.double().var((0, 2), correction=0).float(), rtol=1e-3, atol=0)
    half = shared_statistics(batch(64, 2, 8).half(), None)
    assert half.mean.dtype == half.var.dtype == torch.float32


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_is_normalised_as_torch_does_with_its_gradients(affine: bool, alone: None) -> None:
    inputs = [batch(6, 4, 3, 2).requires_grad_() for _ in range(2)]
    weight, bias = (
        torch.tensor([1.0, -2.0, 0.5, 0.0]).double(),
        torch.arange(4.0).double() if affine else None,
    )
    found = normalize(inputs[0], shared_statistics(inputs[0], None), weight, bias, EPS)
    expected = F.batch_norm(inputs[1], None, None, weight, bias, training=True, eps=EPS)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    for out in (found, expected):
        torch.autograd.backward(out, upstream)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_what_is_normalised_keeps_its_type() -> None:
    x = batch(4, 2).bfloat16()
    statistics = Statistics(torch.zeros(2), torch.ones(2), torch.tensor([4.0]))
    assert normalize(x, statistics, torch.ones(2), None, 0.0).dtype == torch.bfloat16


def test_a_layer_shares_with_others_where_it_is_made_for_it_and_there_are_others(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, own = nn.SyncBatchNorm(3), nn.BatchNorm2d(3)
    assert (group_of(shared), group_of(own)) == (None, None), "one process is no group"
    monkeypatch.setattr(dist, "get_world_size", lambda _: 2)
    assert (group_of(shared), group_of(own)) == (dist.group.WORLD, None)


def test_without_processes_there_is_nobody_to_share_with() -> None:
    assert group_of(nn.SyncBatchNorm(3)) is None
