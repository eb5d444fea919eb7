"""Processes that train together compute what one does: APART with shared statistics, in float64."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from advbench import APART
from advbench.training.batch_norm import forwards_replaced, shared_forwards
from advbench.training.processes import Share, one_gradient_ahead, wrapped
from tests.small import double_network

CPU = torch.device("cpu")
GROUPS, N = 3, 6


def passes(share: Share, apart: bool) -> dict[str, Tensor]:
    """Gradients and buffers after one step on this process's part of a batch of 12."""
    model, x, y = double_network()
    parallel = wrapped(model, CPU, share, sync_bn=True)
    rows = torch.tensor([*share.of(range(N)), *share.of(range(N, 12))])
    x, y, n = x[rows], y[rows], N // share.count
    if apart:
        trainer = APART(parallel, 0.1, GROUPS)
        with trainer.to_proxy(), one_gradient_ahead(parallel):
            torch.autograd.backward(0.7 * F.cross_entropy(parallel(x), y))
        with trainer.to_adver():
            torch.autograd.backward(0.3 * F.cross_entropy(parallel(x[:n]), y[:n]))
    else:
        with forwards_replaced(shared_forwards(parallel)):
            torch.autograd.backward(F.cross_entropy(parallel(x), y))
    assert (
        not apart or share.count == 1 or any(isinstance(each, nn.SyncBatchNorm) for each in model.modules())
    )
    grads = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return {**grads, **dict(model.named_buffers())}


def work(rank: int, home: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{home}/meeting", rank=rank, world_size=2)
    for apart in (False, True):
        torch.save(passes(Share(rank, 2), apart), f"{home}/{apart}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo meets over a file")
def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    spawn(work, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]  # in torch
    for apart in (False, True):
        whole = passes(Share(), apart)
        assert len(whole) == 10 + 6
        for rank in range(2):
            found = torch.load(tmp_path / f"{apart}-{rank}.pt", weights_only=True)
            assert found.keys() == whole.keys()
            for name, value in whole.items():
                torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("items", "count"), [(range(12), 3), (range(12), 1), (range(7), 1), ((), 2), ([5, 3], 2)]
)
def test_shares_are_equal_parts_in_order(items: Sequence[int], count: int) -> None:
    parts = [Share(rank, count).of(items) for rank in range(count)]
    assert [each for part in parts for each in part] == list(items)
    assert len({len(part) for part in parts}) == 1


def test_alone_everything_is_as_it_is() -> None:
    share, model = Share(), double_network()[0]
    assert share.total([1.5, -2.0], CPU) == [1.5, -2.0]
    assert (share.any(True, CPU), share.any(False, CPU)) == (True, False)
    assert wrapped(model, CPU, share, sync_bn=True) is model
    assert not any(isinstance(each, nn.SyncBatchNorm) for each in model.modules())
    with one_gradient_ahead(model):
        torch.autograd.backward(model(torch.randn(4, 1, 4, 4).double()).sum())
    assert all(each.grad is not None for each in model.parameters())


def test_numbers_are_summed_in_what_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that have the same: what they exchange is doubled."""
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.mul_(2))
    share = Share(0, 2)
    assert share.total([2.0**53 - 1, 0.1, 0.0], CPU) == [2.0**54 - 2, 0.2, 0.0]
    assert (share.any(True, CPU), share.any(False, CPU)) == (True, False)
