"""Images of a gallery: what an attack did to each, as pixels and words."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from advbench.results.records import Rung

Pixels = npt.NDArray[np.uint8]

LARGEST: Final = 96
"""Pixels of a thumbnail's longer side."""

_LOSSLESS: Final = 48
"""Up to this side an image is kept pixel by pixel."""


@dataclass(frozen=True)
class Panel:
    """One image: `(h, w, 3)` pixels, what it is, and what is said of it."""

    pixels: Pixels
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image under one rung.

    Args:
        index: in the data set.
        label: its true class.
        defense: behind which defense.
        attack: by which attack.
        rung: along whose gradient.
        fooled: whether it fools the defended model.
        panels: clean, perturbation, adversarial, and what the defense makes of it where it can be shown.
        run: the run's name, where pictures of several runs are shown together.
    """

    index: int
    label: str
    defense: str
    attack: str
    rung: Rung
    fooled: bool
    panels: Sequence[Panel]
    run: str = ""


def to_pixels(image: npt.NDArray[np.floating]) -> Pixels:
    """Pixels in [0, 1], `(c, h, w)` of 1 or 3 channels, as bytes `(h, w, 3)`; what is outside is clipped."""
    channels = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    finite = np.nan_to_num(channels.astype(np.float64), nan=0.0)
    return (np.clip(finite, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)


def amplified(delta: npt.NDArray[np.floating]) -> tuple[Pixels, float]:
    """A perturbation `(c, h, w)` round mid-grey, as strong as it can be shown, and how much that is."""
    largest = float(np.abs(np.nan_to_num(delta)).max())
    factor = 0.5 / largest if largest > 0 else 1.0
    return to_pixels(0.5 + factor * np.nan_to_num(delta)), factor


def data_uri(pixels: Pixels) -> str:
    """An image for a page: small ones pixel by pixel, large ones as thumbnails."""
    image = Image.fromarray(pixels)
    side = max(image.size)
    file = io.BytesIO()
    if side <= _LOSSLESS:
        image.save(file, "PNG", optimize=True)
        kind = "png"
    else:
        if side > LARGEST:
            size = tuple(max(1, round(side_length * LARGEST / side)) for side_length in image.size)
            image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
        image.save(file, "WEBP", quality=80, method=4)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
