"""The processes that train together, where `torchrun` has started more than one."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Share:
    """Which part of the work is this process's.

    Args:
        rank: its number.
        count: how many processes there are; the default process group is set up where it is not 1.
    """

    rank: int = 0
    count: int = 1

    def of(self, items: Sequence[int]) -> list[int]:
        """An equal, contiguous part."""
        size = len(items) // self.count
        return list(items[self.rank * size :][:size]) if self.count > 1 else list(items)

    def total(self, numbers: Sequence[float], device: torch.device) -> list[float]:
        """Each number summed over all processes."""
        if self.count == 1:
            return list(numbers)
        # Counts are exact in float32 up to 16 million, where there is no float64.
        exact = torch.float32 if device.type == "mps" else torch.float64
        tensor = torch.tensor(numbers, dtype=exact, device=device)
        dist.all_reduce(tensor)
        return [float(number) for number in tensor.tolist()]

    def any(self, condition: bool, device: torch.device) -> bool:
        """Whether it holds in any process; they must stop after the same step."""
        return self.total([float(condition)], device)[0] > 0


def wrapped(model: nn.Module, device: torch.device, share: Share, *, sync_bn: bool) -> nn.Module:
    """The model, averaging its gradients over the processes where there are several.

    Args:
        model: its BatchNorm layers are converted in place where they are to be shared.
        device: where it is.
        share: this process among the others.
        sync_bn: whether BatchNorm takes its statistics over all processes.
    """
    if share.count == 1:
        return model
    parallel = DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
    if sync_bn:
        # Afterwards, with the same parameters and buffers: before, the wrapper would refuse them on a CPU.
        nn.SyncBatchNorm.convert_sync_batchnorm(parallel.module)  # type: ignore[no-untyped-call]  # in torch
    return parallel


def one_gradient_ahead(model: nn.Module) -> AbstractContextManager[None]:
    """The pass inside leaves its gradients to be averaged with those of the next pass, in one exchange."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()
