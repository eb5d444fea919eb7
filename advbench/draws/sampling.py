"""Random defenses: each draw is a pure function of the run's seed and of the image that it is for.

A random defense carries `random = True`. If it takes a parameter `draws` it is given the images' streams
(`Draws`); if not, it is called for one image after another, with torch's, NumPy's and Python's generators
seeded for each. The judge's streams are keyed by the contents of the image that the defended model is given,
so that a draw depends on neither batch nor order, and a kept example can be judged again under the same
draws. An attack's have other names, and are keyed by image and pass (`Calls`) where the attack says which
images it shows; else by contents too.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor

from advbench.draws.draws import Draws, philox
from advbench.draws.generators import seeded

_POSITIVE = 2**62 - 1
_FIXED = 2**62  # the key of all images under one fixed seed; no image's contents have it


@dataclass(frozen=True)
class Sampling:
    """How often random defenses are drawn, and from which streams.

    Args:
        seed: the run's seed.
        name: of the streams: whose forward passes they are for.
        count: draws a forward pass.
        fixed: whether all images share the same random numbers at all times, as under one fixed seed.
    """

    seed: int = 0
    name: str = ""
    count: int = 1
    fixed: bool = False

    def draws(self, x: Tensor, number: int, passing: Draws | None = None) -> Draws:
        """The streams of one of the draws for some images.

        Args:
            x: the images, `(n, c, h, w)`.
            number: of the draw.
            passing: the streams of this pass of an attack (`Calls.advance`); by default the contents decide.
        """
        if passing is not None:
            return Draws(self.seed, passing.indices, f"/random/{self.name}{passing.name}/{number}")
        keys = torch.full((len(x),), _FIXED, device=x.device) if self.fixed else content_keys(x)
        return Draws(self.seed, keys, f"/random/{self.name}/{number}")


ONE_DRAW = Sampling()
"""A single draw."""

DRAWS: Final = 20
"""How often an attack draws a random defense for a gradient, as AutoAttack's `rand` version does."""


def is_random(function: object) -> bool:
    """Whether a defense or a substitute says of itself that it draws random numbers."""
    return getattr(function, "random", False) is True


def drawn(function: Callable[..., Tensor], draws: Draws | None) -> Callable[[Tensor], Tensor]:
    """The function with its draws made, if it is random; otherwise the function itself.

    Args:
        function: a defense or a substitute.
        draws: of the images that it will be called with; by default from torch's own generator.
    """
    return under_draws(function, draws) if is_random(function) else function


def under_draws(function: Callable[..., Tensor], draws: Draws | None) -> Callable[[Tensor], Tensor]:
    """A random function with its draws made, whether or not it says itself that it is random."""
    return _Drawn(function, draws)


def fresh_draws(x: Tensor) -> Draws:
    """Draws outside a run, from torch's own generator, for a batch `(n, ...)`."""
    return Draws(int(torch.randint(2**31, ())), torch.arange(len(x), device=x.device))


def content_keys(x: Tensor) -> Tensor:
    """A number for each image that its pixels alone decide, `(n,)` int64 in [0, 2**62).

    A multilinear hash of the pixels' bits modulo 2**64: integers add up to the same whatever the order.

    Args:
        x: images or activations, `(n, ...)`.
    """
    bits = x.detach().float().contiguous().view(torch.int32).flatten(1).long()
    return (bits * _multipliers(bits.shape[1], x.device)).sum(1) & _POSITIVE


@lru_cache(maxsize=8)
def _multipliers(count: int, device: torch.device) -> Tensor:
    """Fixed odd numbers of 64 bits, `(count,)` int64."""
    place = torch.arange(count, device=device)
    zero = torch.zeros_like(place)
    high, low, _, _ = philox((place, zero, zero, zero), (0x61647662, 0x656E6368))
    return (high << 32) | low | 1


class _Drawn:
    """A random function whose draws are made."""

    def __init__(self, function: Callable[..., Tensor], draws: Draws | None) -> None:
        self.function = function
        self.draws = draws
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, x: Tensor) -> Tensor:
        draws = self.draws
        if draws is None:
            draws = fresh_draws(x)
        elif len(draws.indices) != len(x):  # inside a network that makes several of one image
            draws = _for_others(draws, x)
        return self.function(x, draws=draws) if takes_draws(self.function) else self._one_by_one(x, draws)

    def _one_by_one(self, x: Tensor, draws: Draws) -> Tensor:
        made: list[Any] = []
        for image, seed in zip(torch.split(x, 1), draws.words(1).flatten().tolist(), strict=True):
            with seeded(seed, x.device):
                made.append(self.function(image))
        if not all(isinstance(tensor, Tensor) for tensor in made):
            return made[0]  # type: ignore[no-any-return]  # whoever asked says that this is no tensor
        return torch.cat(made)


def _for_others(draws: Draws, x: Tensor) -> Draws:
    """The streams of one draw for tensors that are other in number than its images."""
    fixed = len(draws.indices) > 0 and int(draws.indices[0]) == _FIXED
    keys = draws.indices[:1].expand(len(x)) if fixed else content_keys(x)
    return Draws(draws.seed, keys, draws.name)


def takes_draws(function: Callable[..., Tensor]) -> bool:
    """Whether a random function is given its draws, and does not seed generators for them."""
    called = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        return "draws" in inspect.signature(called).parameters
    except (TypeError, ValueError):  # built in functions may have none
        return False
