"""Compression: a lossy codec's round trip."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from advbench.defended.substitutes import average_pool
from advbench.errors import DefenseError, SpecError

from .images import check_images
from .quantize import TEMPERATURE, soft_round
from .soft_jpeg import cubic_round, soft_jpeg


@dataclass(frozen=True, kw_only=True)
class JPEG:
    """Save as JPEG and load again, with libjpeg as torchvision has it, or else as Pillow has it.

    Dziugaite, Ghahramani, Roy 2016, "A study of the effect of JPG compression on adversarial images"; Guo
    et al. 2018, "Countering adversarial images using input transformations". The default is both papers'
    quality.
    Pixels become 8 bits, rounded to the nearest. Colour has half the resolution (4:2:0), the codec's
    default. Three channels are one RGB image; any other number of them are as many grey images.

    Args:
        quality: 1 to 100, on libjpeg's scale.

    Raises:
        SpecError: a quality outside that range.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    quality: int = 75

    substitutes: ClassVar[tuple[str, ...]] = ("soft", "cubic", "identity", "smooth")

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise SpecError(f"jpeg: quality must lie in 1..100, got {self.quality}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The images after compression, `(n, c, h, w)` in [0, 1], multiples of 1/255."""
        check_images(x, "jpeg")
        return _through_codec(x, self._round_trip)

    def smooth(self, x: Tensor) -> Tensor:
        """The mean over 3x3 pixels."""
        return average_pool(x)

    def soft(self, x: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """JPEG of the same quality, its coefficients quantised softly; see `soft_jpeg` and `soft_round`."""
        return soft_jpeg(x, self.quality, partial(soft_round, temperature=temperature))

    def cubic(self, x: Tensor) -> Tensor:
        """JPEG of the same quality with the rounding of Shin, Song 2017; see `soft_jpeg`."""
        return soft_jpeg(x, self.quality, cubic_round)

    def _round_trip(self, images: Tensor) -> Tensor:
        try:
            from torchvision.io import decode_jpeg, encode_jpeg  # noqa: PLC0415  # a second
        except ImportError:  # its removal is announced since torchvision 0.29
            return _with_pillow(images, "JPEG", quality=self.quality)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.stack(decode_jpeg(encode_jpeg(list(images), self.quality)))


@dataclass(frozen=True, kw_only=True)
class WebP:
    """Save as lossy WebP and load again, with libwebp as Pillow has it.

    JPEG's successor in the same place. Pixels become 8 bits, rounded to the nearest; channels are taken as
    in `JPEG`. A tenth as fast as that.

    Args:
        quality: 0 to 100, on libwebp's scale.
        method: libwebp's effort, 0 (fast) to 6 (small); its default is 4.

    Raises:
        SpecError: quality or method outside these ranges.
        DefenseError: something else than images `(n, c, h, w)`, or a Pillow without WebP.
    """

    quality: int = 75
    method: int = 4

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "smooth")

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 100:
            raise SpecError(f"webp: quality must lie in 0..100, got {self.quality}.")
        if not 0 <= self.method <= 6:
            raise SpecError(f"webp: method must lie in 0..6, got {self.method}.")

    def __call__(self, x: Tensor) -> Tensor:
        """The images after compression, `(n, c, h, w)` in [0, 1], multiples of 1/255."""
        check_images(x, "webp")
        return _through_codec(x, self._round_trip)

    def smooth(self, x: Tensor) -> Tensor:
        """The mean over 3x3 pixels."""
        return average_pool(x)

    def _round_trip(self, images: Tensor) -> Tensor:
        from PIL import features  # noqa: PLC0415  # with torchvision, so not before it is needed

        if not features.check("webp"):
            raise DefenseError("webp needs a Pillow that was built with WebP: pip install --upgrade pillow.")
        return _with_pillow(images, "WEBP", quality=self.quality, method=self.method)


def _with_pillow(images: Tensor, codec: str, **settings: int) -> Tensor:
    """8-bit images `(n, c, h, w)`, RGB or grey, through one of Pillow's codecs and back."""
    from PIL import Image  # noqa: PLC0415  # with torchvision, so not before it is needed

    mode = "RGB" if images.shape[1] == 3 else "L"
    loaded = []
    for image in images.permute(0, 2, 3, 1).contiguous().numpy():
        file = io.BytesIO()
        Image.fromarray(image if mode == "RGB" else image[:, :, 0]).save(file, codec, **settings)
        loaded.append(np.asarray(Image.open(file, formats=[codec]).convert(mode)))
    return torch.from_numpy(np.stack(loaded)).view(images.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)


def _through_codec(x: Tensor, round_trip: Callable[[Tensor], Tensor]) -> Tensor:
    """Images `(n, c, h, w)` through a codec of RGB and grey 8-bit images on the CPU, and back."""
    if x.numel() == 0:
        return x.clone()
    pixels = x.detach().float().clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).cpu()
    images = pixels if x.shape[1] == 3 else pixels.flatten(0, 1).unsqueeze(1)
    loaded = round_trip(images).to(x.device).float() / 255.0
    return loaded.reshape(x.shape).to(x.dtype)
