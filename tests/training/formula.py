"""A BatchNorm layer with offsets by its formula, in plain tensor operations, which tests of APART share."""

from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 0.1


def layer_of(kind: type[nn.Module], **settings: Any) -> tuple[Any, Tensor]:
    """A BatchNorm layer of 4 channels that is not as it was made, and a batch of 12 for it, in float64."""
    torch.manual_seed(0)
    layer: Any = kind(4, **settings).double()
    shape = (
        (12, 4, 5)
        if kind is nn.BatchNorm1d
        else (12, 4, 2, 3, 2)
        if kind is nn.BatchNorm3d
        else (12, 4, 3, 3)
    )
    x = torch.randn(shape, dtype=torch.float64) * 2 + torch.arange(4.0, dtype=torch.float64).view(
        4, *[1] * (len(shape) - 2)
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(4))
    return layer, x


def by_formula(layer: Any, x: Tensor, d_mean: Tensor, d_var: Tensor, groups: int) -> Tensor:
    """`weight * (1 + d_var) * (z - d_mean * mu / sqrt(var + eps)) + bias`, group by group."""
    out = torch.empty_like(x)
    dimensions = [each for each in range(x.dim()) if each != 1]
    shape = (1, -1, *[1] * (x.dim() - 2))
    for group in range(max(1, groups)):
        part = x[group :: max(1, groups)]
        mu = part.mean(dimensions)
        var = (part - mu.view(shape)).square().mean(dimensions)
        z = (part - mu.view(shape)) / (var + layer.eps).sqrt().view(shape)
        constant = (mu / (var + layer.eps).sqrt()).detach()
        z = (1 + d_var).view(shape) * (z - (d_mean * constant).view(shape))
        weight = 1.0 if layer.weight is None else layer.weight.view(shape)
        bias = 0.0 if layer.bias is None else layer.bias.view(shape)
        out[group :: max(1, groups)] = weight * z + bias
    return out


LAYERS = [
    (nn.BatchNorm1d, {}),
    (nn.BatchNorm2d, {}),
    (nn.BatchNorm3d, {}),
    (nn.SyncBatchNorm, {}),
    (nn.BatchNorm2d, {"affine": False}),
    (nn.BatchNorm2d, {"momentum": None}),
    (nn.BatchNorm2d, {"track_running_stats": False}),
    (nn.BatchNorm2d, {"affine": False, "track_running_stats": False}),
]


def assert_same(one: Tensor | None, other: Tensor | None) -> None:
    assert (one is None) == (other is None)
    if one is not None:
        torch.testing.assert_close(one, other)
