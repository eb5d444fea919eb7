"""Every built-in defense, some of them with several settings, and how tests call them."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from advbench import Draws
from advbench.defenses import (
    JPEG,
    KWTA,
    Argmax,
    Binarize,
    BitDepth,
    CropEnsemble,
    DropoutActivations,
    Gaussian,
    Halftone,
    MeanSparse,
    Median,
    Noise,
    NonLocalMeans,
    Purify,
    QuantizeActivations,
    Quilt,
    ResizePad,
    ReverseSigmoid,
    Round,
    Thermometer,
    TVMin,
    WebP,
    patch_bank,
)
from advbench.draws.sampling import is_random


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _bank(c: int) -> Tensor:
    """Patches of noise on grounds of every brightness."""
    generator = torch.Generator().manual_seed(c)
    ground = torch.rand(64, 1, 1, 1, generator=generator)
    return patch_bank(0.9 * ground + 0.1 * torch.rand(64, c, 16, 16, generator=generator), count=400)


BANKS = {c: _bank(c) for c in (1, 2, 3)}


def _statistics(c: int) -> Tensor:
    """Means and deviations of channels of pixels, whose band is a third of them."""
    return torch.stack([torch.linspace(0.3, 0.7, c), torch.full((c,), 0.3)])


STATISTICS = {c: _statistics(c) for c in range(1, 11)}


def posterior_mean(x: Tensor, sigma: Tensor) -> Tensor:
    """A denoiser of images of any size: pixels are independent and Gaussian."""
    return 0.5 + (x - 0.5) * (0.09 / (0.09 + sigma**2))


class Family(NamedTuple):
    """A built-in defense with some setting."""

    entry: str
    """Its name in the registry."""
    make: Callable[[int], Any]
    """Makes it for images of so many channels."""
    takes: Literal["images", "values", "logits"] = "images"
    """`(n, c, h, w)` alone, any `(n, ...)` of any range, or `(n, k)` alone."""

    def example(self, n: int = 2, c: int = 3) -> Tensor:
        """A batch that it takes."""
        return logits(n) if self.takes == "logits" else images(n, c, 8, 12)


FAMILIES: dict[str, Family] = {
    "round": Family("round", lambda _: Round(), "values"),
    "bit-depth": Family("bit-depth", lambda _: BitDepth(), "values"),
    "bit-depth of 16": Family("bit-depth", lambda _: BitDepth(bits=16), "values"),
    "binarize": Family("binarize", lambda _: Binarize(), "values"),
    "thermometer": Family("thermometer", lambda _: Thermometer(), "values"),
    "thermometer channels": Family("thermometer", lambda _: Thermometer(levels=5, decode=False), "values"),
    "halftone": Family("halftone", lambda _: Halftone()),
    "halftone of 5": Family("halftone", lambda _: Halftone(levels=5)),
    "jpeg": Family("jpeg", lambda _: JPEG()),
    "jpeg of 10": Family("jpeg", lambda _: JPEG(quality=10)),
    "webp": Family("webp", lambda _: WebP()),
    "median": Family("median", lambda _: Median()),
    "median of 2x2": Family("median", lambda _: Median(kernel=2)),
    "median of 5x5": Family("median", lambda _: Median(kernel=5)),
    "gaussian": Family("gaussian", lambda _: Gaussian()),
    "nlm": Family("nlm", lambda _: NonLocalMeans(search=5, strength=0.2)),
    "tv-min": Family("tv-min", lambda _: TVMin(steps=10)),
    "quilt": Family("quilt", lambda c: Quilt(bank=BANKS[c])),
    "purify": Family("purify", lambda _: Purify(denoiser=posterior_mean, noise=0.03, steps=4)),
    "purify once": Family("purify", lambda _: Purify(denoiser=posterior_mean, form="one-shot", noise=0.03)),
    "purify by langevin": Family(
        "purify", lambda _: Purify(denoiser=posterior_mean, form="langevin", noise=0.03, steps=4)
    ),
    "resize-pad": Family("resize-pad", lambda _: ResizePad()),
    "resize-pad back": Family("resize-pad", lambda _: ResizePad(keep=True)),
    "crop-ensemble": Family("crop-ensemble", lambda _: CropEnsemble()),
    "noise": Family("noise", lambda _: Noise(), "values"),
    "uniform noise": Family("noise", lambda _: Noise(kind="uniform"), "values"),
    "dropout-activations": Family("dropout-activations", lambda _: DropoutActivations(), "values"),
    "k-wta": Family("k-wta", lambda _: KWTA(), "values"),
    "quantize-activations": Family("quantize-activations", lambda _: QuantizeActivations(), "values"),
    "quantize-activations between ends": Family(
        "quantize-activations", lambda _: QuantizeActivations(low=0.0, high=1.0), "values"
    ),
    "meansparse": Family("meansparse", lambda c: MeanSparse(statistics=STATISTICS[c], alpha=0.5), "values"),
    "reverse-sigmoid": Family("reverse-sigmoid", lambda _: ReverseSigmoid(), "logits"),
    "argmax": Family("argmax", lambda _: Argmax(), "logits"),
    "round on logits": Family("round", lambda _: Round(step=0.5), "logits"),
}
"""Each by a name for the tests."""

ON_IMAGES = [name for name, each in FAMILIES.items() if each.takes != "logits"]
ON_VALUES = [name for name, each in FAMILIES.items() if each.takes == "values"]
ON_LOGITS = [name for name, each in FAMILIES.items() if each.takes == "logits"]
RANDOM = [name for name, each in FAMILIES.items() if is_random(each.make(3))]
DIFFERENTIABLE = [name for name, each in FAMILIES.items() if getattr(each.make(3), "differentiable", False)]
SUBSTITUTES = [(name, which) for name, each in FAMILIES.items() for which in each.make(3).substitutes]


def logits(n: int = 9, k: int = 10) -> Tensor:
    return 5.0 * torch.randn(n, k, generator=torch.Generator().manual_seed(0))


def output_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a family's output for an input of that shape."""
    if name == "thermometer channels":
        return (shape[0], shape[1] * 5, *shape[2:])
    if name == "resize-pad":
        return (*shape[:2], *(round(side * 331 / 299) for side in shape[2:]))
    return shape


def streams(x: Tensor, seed: int = 0) -> Draws:
    return Draws(seed, torch.arange(len(x)))


def called(function: Any, x: Tensor, draws: Draws) -> Tensor:
    """A defense or a substitute of one on a batch, with the draws if it takes any."""
    result: Tensor = function(x, draws=draws) if is_random(function) else function(x)
    return result
