"""Statistics of a batch that several processes hold together, on any device.

PyTorch's own `SyncBatchNorm` computes on accelerators alone; here sums over processes are differentiated
wherever a process group can add tensors.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Statistics(NamedTuple):
    """What a batch is normalised by."""

    mean: Tensor
    """Of each channel, `(c,)`."""
    var: Tensor
    """Biased variance of each channel, `(c,)`."""
    values: Tensor
    """How many values a channel holds, `(1,)`."""


def group_of(layer: nn.Module) -> Any:
    """The processes that a layer shares its statistics with; None where it is alone."""
    if not isinstance(layer, nn.SyncBatchNorm) or not (dist.is_available() and dist.is_initialized()):
        return None
    group = layer.process_group or dist.group.WORLD
    return group if dist.get_world_size(group) > 1 else None


def shared_statistics(x: Tensor, group: Any) -> Statistics:
    """Mean and variance over the batches of all processes of a group, differentiable in each one's own batch.

    The mean comes first and the squares are taken about it: their plain sum would lose the variance of
    channels whose mean is large.

    Args:
        x: this process's part of the batch, `(n, c, ...)`; parts may differ in size.
        group: the processes.
    """
    dimensions = [axis for axis in range(x.dim()) if axis != 1]
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    here = torch.tensor([x.numel() / x.shape[1]], dtype=values.dtype, device=x.device)
    total = _sum(torch.cat([here, values.sum(dimensions)]), group)
    count, mean = total[:1], total[1:] / total[:1]
    centred = values - mean.view(-1, *[1] * (x.dim() - 2))
    return Statistics(mean, _sum(centred.square().sum(dimensions), group) / count, count)


def normalize(x: Tensor, statistics: Statistics, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """`weight * (x - mean) / sqrt(var + eps) + bias`, `(n, c, ...)`, differentiable in all of them."""
    factor = weight * (statistics.var + eps).rsqrt()
    shift = -statistics.mean * factor if bias is None else bias - statistics.mean * factor
    shape = (-1, *[1] * (x.dim() - 2))
    return torch.addcmul(shift.view(shape), x, factor.view(shape)).to(x.dtype)


def _sum(x: Tensor, group: Any) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(x, group)
    return total


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over processes; every process's loss depends on it, so its gradients add up too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        total = grad.clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None
