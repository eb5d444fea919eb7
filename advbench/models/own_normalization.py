"""Networks that normalise by themselves: their first step subtracts a mean and divides by a deviation.

Constants that a network only carries along, for whoever prepares its images (`image_mean` in open_clip), say
the opposite. So the constants are moved, and the network's answers have to move with them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from advbench.defended.left_as_found import prepared

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

_SHIFT: Final = 0.125
"""What a mean is moved by, to see whether it is used."""


@torch.no_grad()
def normalizes_itself(network: nn.Module, x: Tensor) -> bool:
    """Whether a module that is given the pixels themselves has constants for pixels in [0, 1].

    Args:
        network: the classifier.
        x: a few images, `(n, c, h, w)`; the network is run once, and once for each such module.
    """
    means = [(module, mean) for module in network.modules() for mean in _means(module, x.shape[1])]
    if not means:
        return False
    given: set[nn.Module] = set()

    def watch(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        first = inputs[0] if inputs else None
        if isinstance(first, Tensor) and first.shape == x.shape and bool(torch.equal(first, x)):
            given.add(module)

    handles = [module.register_forward_pre_hook(watch) for module, _ in means]
    try:
        with prepared(network):
            logits = network(x.clone())
            return any(_uses(network, x, logits, module, mean) for module, mean in means if module in given)
    except Exception:  # what the network cannot take is told where it is measured
        return False
    finally:
        for handle in handles:
            handle.remove()


def _uses(network: nn.Module, x: Tensor, logits: Tensor, module: nn.Module, mean: str) -> bool:
    with _moved(module, mean):
        return not torch.equal(network(x.clone()), logits)


@contextmanager
def _moved(module: nn.Module, name: str) -> Iterator[None]:
    """A module whose constant is another one meanwhile."""
    value: Any = getattr(module, name)
    if isinstance(value, Tensor):  # where it is, as other modules may hold it too
        before, value.data = value.data, value.data + _SHIFT
        try:
            yield
        finally:
            value.data = before
        return
    moved = np.asarray(value, np.float64) + _SHIFT
    setattr(module, name, moved if isinstance(value, np.ndarray) else _like(value, moved))
    try:
        yield
    finally:
        setattr(module, name, value)


def _like(value: Any, moved: Any) -> Any:
    return type(value)(moved.tolist()) if isinstance(value, list | tuple) else float(moved)


def _means(module: nn.Module, channels: int) -> list[str]:
    """What a module calls its means, where it has a deviation for each."""
    return [
        mean
        for mean, std in _PAIRS
        if _are_numbers(getattr(module, mean, None), channels, lambda number: number >= 0.0)
        and _are_numbers(getattr(module, std, None), channels, lambda number: number > 0.0)
    ]


def _are_numbers(value: Any, channels: int, fits: Callable[[float], bool]) -> bool:
    """Whether something is one number, or one a channel, in units of [0, 1]."""
    try:
        numbers = torch.as_tensor(value, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        return False
    return len(numbers) in (1, channels) and all(fits(number) and number <= _LARGEST for number in numbers)
