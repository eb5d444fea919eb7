"""Running statistics of BatchNorm that are off by a little: what APART trains against."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from advbench.defended.left_as_found import prepared
from advbench.errors import ModelError
from advbench.training.batch_norm import BatchNorm


@contextmanager
def noisy_statistics(model: nn.Module, size: float, generator: torch.Generator) -> Iterator[None]:
    """Put a model into evaluation mode with every running statistic off by `size`, up or down at random.

        mean' = (1 + d_mean) * mean
        var'  = (var + eps) / (1 + d_var)^2 - eps

    with `d_mean` and `d_var` drawn from {-size, +size} for each channel, so that the layers compute what
    `batch_norm.offset_batch_norm` does. Everything is restored afterwards.

    Args:
        model: with BatchNorm layers that keep running statistics.
        size: relative; below 1.
        generator: on the CPU.

    Raises:
        ModelError: a model without running statistics.
    """
    layers = [
        module for module in model.modules() if isinstance(module, BatchNorm) and module.track_running_stats
    ]
    if not layers:
        raise ModelError(f"{type(model).__name__} has no BatchNorm with running statistics to perturb.")
    with prepared(model), torch.no_grad():
        for layer in layers:
            assert layer.running_mean is not None
            assert layer.running_var is not None
            signs = torch.randint(0, 2, (2, layer.num_features), generator=generator) * 2 - 1
            d_mean, d_var = (size * signs).to(layer.running_mean)
            layer.running_mean.mul_(1 + d_mean)
            layer.running_var.add_(layer.eps).div_((1 + d_var).square()).sub_(layer.eps)
        yield
