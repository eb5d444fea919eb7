"""The defenses that smooth, randomise, or sit inside the network, and how tests call them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advbench import Draws
from advbench.backward import identity
from advbench.defenses import (
    KWTA,
    CropEnsemble,
    DropoutActivations,
    Gaussian,
    Median,
    Noise,
    NonLocalMeans,
    QuantizeActivations,
    Quilt,
    ResizePad,
    TVMin,
    patch_bank,
)


def _bank(c: int) -> Tensor:
    """Patches of noise on grounds of every brightness."""
    generator = torch.Generator().manual_seed(c)
    ground = torch.rand(64, 1, 1, 1, generator=generator)
    return patch_bank(0.9 * ground + 0.1 * torch.rand(64, c, 16, 16, generator=generator), count=400)


BANKS = {c: _bank(c) for c in (1, 3)}

FAMILIES: dict[str, Callable[[int], Any]] = {
    "median": lambda _: Median(),
    "median of 2x2": lambda _: Median(kernel=2),
    "median of 5x5": lambda _: Median(kernel=5),
    "gaussian": lambda _: Gaussian(),
    "nlm": lambda _: NonLocalMeans(search=5, strength=0.2),
    "tv-min": lambda _: TVMin(steps=10),
    "quilt": lambda c: Quilt(bank=BANKS[c]),
    "resize-pad": lambda _: ResizePad(),
    "resize-pad back": lambda _: ResizePad(keep=True),
    "crop-ensemble": lambda _: CropEnsemble(),
    "noise": lambda _: Noise(),
    "uniform noise": lambda _: Noise(kind="uniform"),
    "dropout-activations": lambda _: DropoutActivations(),
    "k-wta": lambda _: KWTA(),
    "quantize-activations": lambda _: QuantizeActivations(),
    "quantize-activations between ends": lambda _: QuantizeActivations(low=0.0, high=1.0),
}
"""Each by a name for the tests, made for images of so many channels."""


class Method:
    """A method of a defense as a substitute of its own, with the defense's draws if it has any."""

    def __init__(self, defense: Any, name: str) -> None:
        self.random = is_random(defense)
        self.method = getattr(defense, name.replace("-", "_"))
        self.__name__ = name

    def __call__(self, x: Tensor, **draws: Draws) -> Tensor:
        result: Tensor = self.method(x, **draws)
        return result


class DrawnMethod(Method):
    """The same for a random defense, whose method takes draws by that name."""

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:  # type: ignore[override]  # what `drawn` looks for
        return super().__call__(x, draws=draws)


def substitute(defense: Any, name: str) -> Any:
    """A substitute that a defense lists, as BPDA takes it."""
    if name in GENERAL:
        return {"identity": identity, "exact": defense}[name]
    return DrawnMethod(defense, name) if is_random(defense) else Method(defense, name)


GENERAL = ("identity", "exact")


def is_random(defense: Any) -> bool:
    return getattr(defense, "random", False) is True


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def streams(x: Tensor, seed: int = 0) -> Draws:
    return Draws(seed, torch.arange(len(x)))


def called(function: Any, x: Tensor, draws: Draws) -> Tensor:
    """A defense or a substitute of one on a batch, with the draws if it takes any."""
    result: Tensor = function(x, draws=draws) if is_random(function) else function(x)
    return result
