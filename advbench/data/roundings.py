"""Pixels that a rounding has put outside [0, 1]."""

from typing import Final

import torch
from torch import Tensor

_ROUNDINGS: Final = 4
_COARSEST: Final = torch.finfo(torch.float16).eps


def without_roundings(x: Tensor, source: torch.dtype) -> Tensor:
    """Pixels, of which those that lie outside [0, 1] by a few roundings become 0 or 1.

    A few are four of the type that the pixels come in, at most float16's: 4.8e-7 for float32 and float64,
    0.0039 for float16 and bfloat16. Nothing is changed where a single pixel is farther outside, so that
    whoever checks them sees that.

    Args:
        x: pixels, float32.
        source: the type that they were converted from.
    """
    if x.numel() == 0 or not source.is_floating_point:
        return x
    low, high = torch.aminmax(x)
    eps = max(torch.finfo(torch.float32).eps, min(torch.finfo(source).eps, _COARSEST))
    if (low < 0.0 or high > 1.0) and low >= -_ROUNDINGS * eps and high <= 1.0 + _ROUNDINGS * eps:
        return x.clamp(0.0, 1.0)
    return x
