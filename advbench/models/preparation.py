"""How a library prepares pictures for a network of its own: resize and crop, then rescale and normalise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from advbench.errors import ModelError, first_line
from advbench.models.registry import Normalization

_LEVELS: Final = 255
_EIGHT_BITS: Final = 1e-6
"""Pixels nearer than this to a multiple of 1/255 are taken for it."""

_CHANNELS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A library's own preprocessing, in the parts that an attack tells apart.

    Args:
        config: its settings as the library has them, for the record.
        defaults: those of them that stand in no file, so that the installed version decided them.
        normalization: what the network's input is, in terms of pixels in [0, 1].
        flipped: whether the network takes blue, green, red.
        size_bytes: resize and crop a picture as the library does, uint8 `(3, h, w)` to uint8.
        size: the same in floating point, `(n, 3, h, w)`; it may lead out of [0, 1].
        whole: all of the library's own preprocessing, uint8 `(3, h, w)` to what the network is given.
    """

    config: Mapping[str, Any]
    defaults: tuple[str, ...]
    normalization: Normalization
    flipped: bool
    size_bytes: Callable[[Tensor], Tensor]
    size: Callable[[Tensor], Tensor]
    whole: Callable[[Tensor], Tensor]


def in_colour(x: Tensor) -> Tensor:
    """Images `(..., c, h, w)` in three channels; grey ones get three equal ones."""
    return x.expand(*x.shape[:-3], _CHANNELS, -1, -1) if x.shape[-3] == 1 else x


def as_bytes(x: Tensor) -> Tensor | None:
    """A picture in [0, 1] as the uint8 picture that it was read from; None where it has other levels."""
    levels = x * _LEVELS
    rounded = levels.round()
    if x.shape[-3] != _CHANNELS or float((levels - rounded).abs().max()) > _LEVELS * _EIGHT_BITS:
        return None
    return rounded.to(torch.uint8)


def picture_of(levels: Tensor) -> Any:
    """A uint8 picture `(3, h, w)` as Pillow has it."""
    from PIL import Image  # noqa: PLC0415  # only pictures need it

    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def sized(preparation: Preparation, x: Tensor) -> Tensor:
    """A picture `(c, h, w)` in [0, 1] as the library resizes and crops it: 8 bits of the rounding included.

    One with other levels than multiples of 1/255 is resized in floating point.
    """
    x = in_colour(x)
    picture = as_bytes(x)
    if picture is None:
        exact: Tensor = Sized(nn.Identity(), preparation)(x[None])[0]
        return exact
    return preparation.size_bytes(picture).to(torch.float32) * (1.0 / _LEVELS)


class _ClippedBetween(TorchFunctionMode):
    """Resizing as it is done with 8 bits: across, clip, then down, clip.

    A bicubic filter leads beyond black and white. Pillow, and torch with uint8, keep what comes of the first
    of its two passes in 8 bits, which clips it; torch with floating point clips nothing between them.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Whatever torch function is called; `interpolate` in two passes."""
        given = dict(kwargs or {})
        if func is not interpolate or given.get("mode") != "bicubic" or given.get("size") is None:
            return func(*args, **given)
        x: Tensor = given.pop("input") if "input" in given else args[0]
        height, width = given.pop("size")
        across = interpolate(x, size=(x.shape[-2], width), **given).clamp(0.0, 1.0)
        return interpolate(across, size=(height, width), **given).clamp(0.0, 1.0)


class Sized(nn.Module):
    """A network behind its library's resize and crop, in floating point.

    Like the library it clips what a bicubic filter leads beyond black and white; unlike it, nothing is
    rounded to 8 bits, so that the derivative is exact.

    Args:
        network: takes images of its own size, in [0, 1].
        preparation: how its library resizes and crops.

    Raises:
        ModelError: from `forward`, where the library cannot do so with tensors, or passes no gradient.
    """

    def __init__(self, network: nn.Module, preparation: Preparation) -> None:
        super().__init__()
        self.network = network
        self.preparation = preparation

    def forward(self, x: Tensor) -> Tensor:
        """What the network gives for images `(n, c, h, w)` of any size, in [0, 1]."""
        try:
            with _ClippedBetween():
                resized = self.preparation.size(in_colour(x))
        except Exception as error:  # a library's code may raise anything
            raise ModelError(
                "the model's own resize and crop does not work on tensors "
                f"({type(error).__name__}: {first_line(error)}): attack behind it, --space input."
            ) from error
        if torch.is_grad_enabled() and x.requires_grad and not resized.requires_grad:
            raise ModelError(
                "the model's own resize and crop passes no gradient: attack behind it, --space input."
            )
        answer: Tensor = self.network(resized.clamp(0.0, 1.0))
        return answer


class Flipped(nn.Module):
    """A network that takes blue, green, red, for images in red, green, blue."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        logits: Tensor = self.network(x.flip(1))
        return logits
