"""BatchNorm by the statistics of a batch, with these statistics as constants to its gradient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def statistics_held(network: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
    """Meanwhile, what BatchNorm layers in a network have taken from the batch does not follow the pixels.

    The values are those of the batch, up to rounding. Layers that use what they have learnt are as they were.

    Args:
        network: pixels `(n, c, h, w)` to logits `(n, k)`.
    """
    handles = [
        module.register_forward_hook(_held)
        for module in network.modules()
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
    ]
    try:
        yield network
    finally:
        for handle in handles:
            handle.remove()


def _held(module: nn.Module, inputs: Any, _output: Any) -> Tensor:
    assert isinstance(module, _BatchNorm)
    x: Tensor = inputs[0]
    over = [dimension for dimension in range(x.dim()) if dimension != 1]
    constant = x.detach()
    mean, variance = constant.mean(over), constant.var(over, unbiased=False)
    return F.batch_norm(x, mean, variance, module.weight, module.bias, False, 0.0, module.eps)
