"""JPEG with a gradient."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from .images import widened

# ISO/IEC 10918-1, annex K, tables K.1 and K.2, by line.
_LUMINANCE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
# ITU-T T.871, section 7: RGB to Y, Cb, Cr (less the 128 that JPEG subtracts again), and back.
_TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))

_LANES: Final = 32
"""Blocks come in multiples of so many: products of fewer rows are summed in another order, so that the last
bits of an image's gradient would depend on how many others there are."""


def cubic_round(u: Tensor) -> Tensor:
    """`round(u) + (u - round(u))^3`, whose derivative is `3 (u - round(u))^2`; Shin, Song 2017."""
    whole = u.detach().round()
    v = u - whole
    return whole + v * v * v


def soft_jpeg(x: Tensor, quality: int, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """JPEG with its coefficients rounded by another function, after Shin, Song 2017.

    Their "JPEG-resistant adversarial images" puts `cubic_round` there.

    The codec's tables, quality scale, 4:2:0 colour and interpolation of it; what is left out is the rounding
    of pixels to 8 bits and clipping to [0, 1], which would take away the gradient of black and white pixels.

    Args:
        x: images in [0, 1], `(n, c, h, w)`; three channels are RGB, otherwise each is a grey image.
        quality: 1 to 100.
        rounding: what stands for rounding, on coefficients in units of their quantisation step.

    Returns:
        Images of the shape and type of `x`.
    """
    pixels = widened(x) * 255.0
    if x.shape[1] == 3:
        y, cb, cr = _mix(pixels, _TO_YCC).unbind(1)
        chroma = _halved(torch.stack([cb, cr], dim=1))
        chroma = _doubled(_quantised(chroma, _scaled(_CHROMINANCE, quality), rounding), x.shape[2:])
        luma = _quantised(y.unsqueeze(1) - 128.0, _scaled(_LUMINANCE, quality), rounding) + 128.0
        out = _mix(torch.cat([luma, chroma], dim=1), _TO_RGB)
    else:
        out = _quantised(pixels - 128.0, _scaled(_LUMINANCE, quality), rounding) + 128.0
    return (out / 255.0).to(x.dtype)


def _scaled(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """A quantisation table for a quality, `(64,)`, as libjpeg's `jpeg_quality_scaling` has it."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(table) * scale + 50) // 100).clamp(1, 255).flatten()


def _mix(x: Tensor, weights: tuple[tuple[float, ...], ...]) -> Tensor:
    """Colours `(n, 3, h, w)` times a 3x3 matrix."""
    return torch.stack([sum(w * x[:, i] for i, w in enumerate(row)) for row in weights], dim=1)  # type: ignore[misc]


def _quantised(x: Tensor, table: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """Each 8x8 block's cosine transform rounded to multiples of the table, and back; `(n, c, h, w)`."""
    n, c, h, w = x.shape
    rows, columns = -(-h // 8), -(-w // 8)
    padded = F.pad(x, (0, columns * 8 - w, 0, rows * 8 - h), mode="replicate")
    blocks = padded.reshape(n, c, rows, 8, columns, 8).transpose(3, 4).reshape(-1, 64)
    transform, table = _cosines().to(x), table.to(x)
    filled = F.pad(blocks, (0, 0, 0, -len(blocks) % _LANES))
    coefficients = rounding(filled @ transform.T / table) * table
    pixels = (coefficients @ transform)[: len(blocks)].view(n, c, rows, columns, 8, 8).transpose(3, 4)
    return pixels.reshape(n, c, rows * 8, columns * 8)[:, :, :h, :w]


def _halved(x: Tensor) -> Tensor:
    """Means of 2x2 pixels, the last line repeated where the number is odd.

    Columns are filled up to whole blocks before the means are taken, as libjpeg does; lines after it.
    """
    h, w = x.shape[2:]
    return F.avg_pool2d(F.pad(x, (0, -w % 16, 0, h % 2), mode="replicate"), 2)


def _doubled(x: Tensor, size: torch.Size) -> Tensor:
    """Libjpeg's upsampling to `size`: triangular, but plain repetition where it has two columns or fewer."""
    x = x[:, :, :, : (size[1] + 1) // 2]
    mode = "bilinear" if x.shape[3] > 2 else "nearest"
    return F.interpolate(x, scale_factor=2.0, mode=mode)[:, :, : size[0], : size[1]]


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """The orthonormal cosine transform of flattened 8x8 blocks, `(64, 64)`, coefficients by pixels."""
    k = torch.arange(8, dtype=torch.float64)
    one = torch.cos(torch.pi * k.view(-1, 1) * (2 * k + 1) / 16) / 2
    one[0] /= 2**0.5
    return torch.kron(one, one)
