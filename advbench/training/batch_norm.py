"""Training BatchNorm whose statistics are off by given amounts, in one call of PyTorch's own kernel."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from advbench.errors import ApartError
from advbench.training.shared_statistics import Statistics, group_of, normalize, shared_statistics

BatchNorm = _BatchNorm
"""BatchNorm1d, 2d and 3d, and SyncBatchNorm."""


@dataclass(frozen=True)
class Offsets:
    """By how much the statistics of a layer are off, relative to themselves; each `(c,)`.

    Args:
        mean: `d_mean`; the mean is taken for `(1 + d_mean)` times what it is.
        var: `d_var`; what is normalised is scaled by `1 + d_var`.
        zero: whether both are known to be 0, so that nothing needs to be added for them.
    """

    mean: Tensor
    var: Tensor
    zero: bool = False


def training_layers(model: nn.Module) -> list[BatchNorm]:
    """The BatchNorm layers of a model that are in training mode; the others are frozen."""
    return [module for module in model.modules() if isinstance(module, BatchNorm) and module.training]


def offset_batch_norm(layer: BatchNorm, offsets: Offsets, groups: int, update: bool, x: Tensor) -> Tensor:
    """BatchNorm in training mode with its statistics off by `offsets`.

        z  = (x - mu) / sqrt(var + eps)
        z' = (1 + d_var) * (z - d_mean * mu / sqrt(var + eps))
        y  = weight * z' + bias

    with the batch's own mean `mu` and biased variance `var`. The factor beside `d_mean` is a constant: no
    gradient goes through it. As `y` is affine in `z`, one call with the weight `weight * (1 + d_var)` does
    the most of it. It can be differentiated once.

    Args:
        layer: gives weight, bias, `eps` and running statistics; a `SyncBatchNorm` shares `mu` and `var`
            among its processes.
        offsets: `d_mean` and `d_var`.
        groups: how many interleaved groups (image `i` is in group `i mod groups`) are normalised each by
            its own statistics; 0 and 1 mean that the batch is one.
        update: whether the running statistics follow the batch.
        x: `(n, c, ...)`.

    Returns:
        `y`, shaped as `x`.

    Raises:
        ApartError: groups that do not divide the batch, or that leave one value a channel.
    """
    layer._check_input_dim(x)  # type: ignore[no-untyped-call]  # untyped in torch
    groups = max(1, groups)
    own_weight, own_bias = cast("tuple[Tensor | None, Tensor | None]", (layer.weight, layer.bias))
    scale = 1 + offsets.var
    weight = scale.to(x.dtype) if own_weight is None else own_weight * scale
    bias, d_mean = own_bias, offsets.mean
    if groups > 1:
        weight, d_mean = weight.repeat(groups), d_mean.repeat(groups)
        bias = None if bias is None else bias.repeat(groups)
    out: Tensor
    values = _in_groups(x, groups)
    running = _running_statistics(layer) if update else _NONE
    group = group_of(layer)
    if group is not None:
        out = _shared(values, group, weight=weight, bias=bias, d_mean=d_mean, running=running, eps=layer.eps)
        return out.view(x.shape)
    if values.numel() == values.shape[1]:
        raise ApartError(
            f"BatchNorm needs more than one value a channel, got images of shape {tuple(values.shape)} in "
            "each group. Use larger batches or fewer groups."
        )
    out = _OffsetNorm.apply(values, weight, bias, d_mean, running, layer.eps, offsets.zero)
    return out.view(x.shape)


def _in_groups(x: Tensor, groups: int) -> Tensor:
    """Interleaved groups side by side as channels, `(n / groups, groups * c, ...)`, which is a mere view."""
    n, channels = x.shape[:2]
    if n % groups:
        raise ApartError(
            f"{groups} groups do not divide a batch of {n} images. Drop the last, incomplete batch of an "
            "epoch (drop_last=True), and perturb a multiple of the groups."
        )
    return x.reshape(n // groups, groups * channels, *x.shape[2:]) if groups > 1 else x


class _Running(NamedTuple):
    """Running statistics to bring up to date, and the share that the batch has in them."""

    mean: Tensor | None
    var: Tensor | None
    momentum: float


_NONE = _Running(None, None, 0.0)


def _running_statistics(layer: BatchNorm) -> _Running:
    """Count the batch; without a momentum every batch has the same share."""
    if not layer.track_running_stats or layer.running_mean is None:
        return _NONE
    momentum = layer.momentum or 0.0
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if layer.momentum is None:
            momentum = 1.0 / float(layer.num_batches_tracked)
    return _Running(layer.running_mean, layer.running_var, momentum)


def _shared(
    x: Tensor,
    group: Any,
    *,
    weight: Tensor,
    bias: Tensor | None,
    d_mean: Tensor,
    running: _Running,
    eps: float,
) -> Tensor:
    """The layer's output with the statistics of all processes."""
    statistics = shared_statistics(x, group)
    _follow(statistics, running)
    constant = (statistics.mean * (statistics.var + eps).rsqrt()).detach().to(weight.dtype)
    shift = weight * d_mean * constant
    return normalize(x, statistics, weight, -shift if bias is None else bias - shift, eps)


class _OffsetNorm(torch.autograd.Function):
    """`weight * (z - d_mean * c) + bias` with the constant `c = mu / sqrt(var + eps)`.

    Autograd would go over the activations once more for the gradients of what `d_mean` adds; they follow
    from the gradient of the bias, which the kernel computes anyway.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  # autograd takes arguments by position
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        d_mean: Tensor,
        running: _Running,
        eps: float,
        zero: bool,
    ) -> Tensor:
        out, mean, invstd = torch.native_batch_norm(
            x, weight, bias, running.mean, running.var, True, running.momentum, eps
        )
        constant = (mean * invstd).to(weight.dtype)
        if not zero:
            out.sub_((weight * d_mean * constant).view(-1, *[1] * (x.dim() - 2)))
        ctx.save_for_backward(x, weight, d_mean, mean, invstd, constant)
        ctx.eps = eps
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, d_mean, mean, invstd, constant = ctx.saved_tensors
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, invstd, True, ctx.eps, [ctx.needs_input_grad[0], True, True]
        )
        by_mean = -constant * grad_bias
        grad_bias = grad_bias if ctx.needs_input_grad[2] else None
        return grad_x, grad_weight + by_mean * d_mean, grad_bias, by_mean * weight, None, None, None


@torch.no_grad()
def _follow(statistics: Statistics, running: _Running) -> None:
    if running.mean is not None and running.var is not None:
        unbiased = statistics.var * (statistics.values / (statistics.values - 1))
        running.mean.lerp_(statistics.mean.to(running.mean), running.momentum)
        running.var.lerp_(unbiased.to(running.var), running.momentum)


def shared_forwards(model: nn.Module) -> "dict[BatchNorm, partial[Tensor]]":
    """Plain forward passes of the layers that processes share, which PyTorch has for accelerators alone."""
    layers = [layer for layer in training_layers(model) if group_of(layer) is not None]
    forwards = {}
    for layer in layers:
        zero = torch.zeros(layer.num_features, device=next(layer.buffers()).device)
        forwards[layer] = partial(offset_batch_norm, layer, Offsets(zero, zero, zero=True), 0, True)
    return forwards


@contextmanager
def forwards_replaced(forwards: Mapping[BatchNorm, Any]) -> Iterator[None]:
    """Let layers compute something else, and nothing of it stay on them: no hook, parameter or key.

    An attribute of the instance goes before the method of its class, and `torch.compile` notices it.
    """
    before = {layer: vars(layer).get("forward") for layer in forwards}
    try:
        for layer, forward in forwards.items():
            vars(layer)["forward"] = forward
        yield
    finally:
        for layer, forward in before.items():
            if forward is None:
                vars(layer).pop("forward", None)
            else:
                vars(layer)["forward"] = forward
