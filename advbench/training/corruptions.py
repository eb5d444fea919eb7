"""Common corruptions at five severities, those that need no files of their authors.

Hendrycks, Dietterich 2019, "Benchmarking neural network robustness to common corruptions and
perturbations". Images up to 64 pixels get the strengths of their CIFAR-10-C, larger ones those of
ImageNet-C. Noise is drawn for each image, so that it does not depend on the batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from advbench.draws.draws import Draws

SEVERITIES: Final = 5

_SMALL = 64  # pixels
_TRUNCATE = 4.0  # standard deviations, where scikit-image's Gaussian ends


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One way to spoil an image.

    Args:
        apply: images in [0, 1] `(n, c, h, w)`, the strength, and the images' draws, to images.
        small: strength at each severity for images of CIFAR's size.
        large: likewise for images of ImageNet's.
    """

    apply: Callable[[Tensor, float, Draws], Tensor]
    small: tuple[float, float, float, float, float]
    large: tuple[float, float, float, float, float]


def corrupted(x: Tensor, name: str, severity: int, draws: Draws) -> Tensor:
    """Corrupted images with 8 bits a channel, `(n, c, h, w)` in [0, 1].

    Args:
        x: images in [0, 1], `(n, c, h, w)`.
        name: of the corruption.
        severity: 1 to 5.
        draws: the images' random streams.
    """
    corruption = CORRUPTIONS[name]
    strengths = corruption.small if max(x.shape[2:]) <= _SMALL else corruption.large
    spoilt = corruption.apply(x, strengths[severity - 1], draws.stream(f"{name}/{severity}"))
    # The authors save their images with 8 bits, rounded down.
    return (spoilt.clamp(0, 1) * 255).floor() / 255


def gaussian_noise(x: Tensor, strength: float, draws: Draws) -> Tensor:
    """Normal noise of standard deviation `strength`."""
    return x + strength * draws.normal(tuple(x.shape[1:])).to(x)


def impulse_noise(x: Tensor, strength: float, draws: Draws) -> Tensor:
    """A fraction `strength` of the values becomes 0 or 1, half of them each."""
    u = draws.uniform(tuple(x.shape[1:])).to(x)
    return torch.where(u < strength / 2, 0.0, torch.where(u < strength, 1.0, x))


def gaussian_blur(x: Tensor, strength: float, _draws: Draws) -> Tensor:
    """A Gaussian of standard deviation `strength` pixels; differs from the original at the border.

    There torchvision mirrors the image, where scikit-image repeats its last pixel.
    """
    from torchvision.transforms.v2.functional import gaussian_blur as blur  # noqa: PLC0415  # a second

    radius = min(int(_TRUNCATE * strength + 0.5), min(x.shape[2:]) - 1)
    blurred: Tensor = blur(x, [2 * radius + 1] * 2, [strength] * 2)
    return blurred


def contrast(x: Tensor, strength: float, _draws: Draws) -> Tensor:
    """Each channel drawn towards its mean, to a fraction `strength` of its contrast."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) * strength + mean


def brightness(x: Tensor, strength: float, _draws: Draws) -> Tensor:
    """`strength` added to the value of HSV: to the brightest channel, and the others in proportion."""
    value = x.amax(1, keepdim=True)
    brighter = (value + strength).clamp(max=1)
    return torch.where(value > 0, x / value.clamp(min=1e-6) * brighter, brighter)


def jpeg(x: Tensor, strength: float, _draws: Draws) -> Tensor:
    """JPEG of quality `strength`."""
    from torchvision.transforms.v2.functional import jpeg as compress  # noqa: PLC0415  # a second

    images = (x * 255).round().to(torch.uint8).cpu()
    return torch.stack([compress(image, int(strength)) for image in images]).to(x) / 255


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    "gaussian-noise": Corruption(
        apply=gaussian_noise, small=(0.04, 0.06, 0.08, 0.09, 0.10), large=(0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "impulse-noise": Corruption(
        apply=impulse_noise, small=(0.01, 0.02, 0.03, 0.05, 0.07), large=(0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    "gaussian-blur": Corruption(apply=gaussian_blur, small=(0.4, 0.6, 0.7, 0.8, 1.0), large=(1, 2, 3, 4, 6)),
    "contrast": Corruption(
        apply=contrast, small=(0.75, 0.5, 0.4, 0.3, 0.15), large=(0.4, 0.3, 0.2, 0.1, 0.05)
    ),
    "brightness": Corruption(
        apply=brightness, small=(0.05, 0.1, 0.15, 0.2, 0.3), large=(0.1, 0.2, 0.3, 0.4, 0.5)
    ),
    "jpeg": Corruption(apply=jpeg, small=(80, 65, 58, 50, 40), large=(25, 18, 15, 10, 7)),
}
