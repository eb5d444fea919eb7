"""Networks that normalise by themselves: their first step subtracts a mean and divides by a deviation."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from advbench.preserve import prepared

_PAIRS: Final = (
    ("mean", "std"),
    ("new_mean", "new_std"),
    ("mu", "sigma"),
    ("mu", "std"),
    ("_mean", "_std"),
    ("image_mean", "image_std"),
)
"""What wrappers for normalisation call their constants."""

_LARGEST: Final = 1.5
"""A mean or a deviation above it is in units of 0 to 255."""


@torch.no_grad()
def normalizes_itself(network: nn.Module, x: Tensor) -> bool:
    """Whether a module that is given the pixels themselves has constants for pixels in [0, 1].

    Args:
        network: the classifier.
        x: a few images, `(n, c, h, w)`; the network is run once.
    """
    told = [module for module in network.modules() if _has_constants(module, x.shape[1])]
    if not told:
        return False
    given: list[bool] = []

    def watch(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        first = inputs[0] if inputs else None
        given.append(isinstance(first, Tensor) and first.shape == x.shape and bool(torch.equal(first, x)))

    handles = [module.register_forward_pre_hook(watch) for module in told]
    try:
        with prepared(network):
            network(x.clone())
    except Exception:  # what the network cannot take is told where it is measured
        return False
    finally:
        for handle in handles:
            handle.remove()
    return any(given)


def _has_constants(module: nn.Module, channels: int) -> bool:
    return any(
        _are_numbers(getattr(module, mean, None), channels, lambda each: each >= 0.0)
        and _are_numbers(getattr(module, std, None), channels, lambda each: each > 0.0)
        for mean, std in _PAIRS
    )


def _are_numbers(value: Any, channels: int, fits: Callable[[float], bool]) -> bool:
    """Whether something is one number, or one a channel, in units of [0, 1]."""
    try:
        numbers = torch.as_tensor(value, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        return False
    return len(numbers) in (1, channels) and all(fits(each) and each <= _LARGEST for each in numbers)
