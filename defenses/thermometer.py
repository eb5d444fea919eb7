"""Thermometer encoding, and the first layer of a network that reads it."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from advbench.errors import ModelError, SpecError

from .images import widened
from .quantize import TEMPERATURE, soft_round

_MOST_LEVELS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Thermometer:
    """Each value becomes `levels` channels, filled from below: `tau(x)_k = 1[x > k / levels]`, k = 1..levels.

    Buckman et al. 2018, "Thermometer encoding: one hot way to resist adversarial examples", in the form of
    Athalye, Carlini, Wagner 2018, section 5.1.1 (Buckman's channels are one minus these). The channels of
    one input channel stand side by side.

    A network that was trained on the encoding takes `decode=False` and a first layer like `ThermometerStem`.
    One that was not gets the values that the channels stand for: `(sum_k tau(x)_k + 1/2) / levels`, the
    middle of each level's interval.

    Args:
        levels: how many, 2 to 256.
        decode: whether to give back an image instead of its channels.

    Raises:
        SpecError: levels outside that range.
    """

    levels: int = 16
    decode: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= _MOST_LEVELS:
            raise SpecError(f"thermometer: levels must lie in 2..{_MOST_LEVELS}, got {self.levels}.")

    @property
    def substitutes(self) -> tuple[str, ...]:
        """The identity only where the shape stays."""
        return ("identity", "soft") if self.decode else ("soft", "ramp")

    def __call__(self, x: Tensor) -> Tensor:
        """The encoding of `x`, `(n, c * levels, ...)`, or what it stands for, `(n, c, ...)`."""
        wide = widened(x)
        if self.decode:
            filled = torch.bucketize(wide.contiguous(), self._thresholds(wide))  # how many are below x
            return ((filled.to(wide) + 0.5) / self.levels).to(x.dtype)
        return (self._above(wide) > 0).to(x.dtype).flatten(1, 2)

    def soft(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        """A sigmoid for each channel, `1/2 + v / (2 sqrt(T^2 + v^2))` with `v = levels * x - k`.

        Decoded, the staircase of `soft_round`.

        Args:
            x: what would be encoded.
            temperature: `T`, in levels; towards 0 the channels are those of the defense.
        """
        wide = widened(x)
        if self.decode:
            level = soft_round(wide * self.levels - 0.5, TEMPERATURE * temperature)
            return ((level + 0.5) / self.levels).to(x.dtype)
        v = self.levels * self._above(wide)
        return (0.5 + 0.5 * v / (temperature**2 + v * v).sqrt()).to(x.dtype).flatten(1, 2)

    def ramp(self, x: Tensor) -> Tensor:
        """`clip(x - k / levels, 0, 1)` for the channels: Athalye, Carlini, Wagner 2018, section 5.1.1.

        It has no gradient below the first level. Decoded, the mean of these.
        """
        channels = self._above(widened(x)).clamp(0.0, 1.0)
        if self.decode:
            return (channels.mean(2) + 0.5 / self.levels).to(x.dtype)
        return channels.to(x.dtype).flatten(1, 2)

    def _above(self, x: Tensor) -> Tensor:
        """By how much each value exceeds each threshold, `(n, c, levels, ...)`."""
        return x.unsqueeze(2) - self._thresholds(x).view(1, 1, -1, *[1] * (x.ndim - 2))

    def _thresholds(self, x: Tensor) -> Tensor:
        return torch.arange(1, self.levels + 1, device=x.device, dtype=x.dtype) / self.levels


class ThermometerStem(nn.Module):
    """A network's first convolution, for thermometer-encoded images.

    It begins as the convolution it is made from: on `Thermometer(levels=levels, decode=False)` it gives what
    `conv` gives on the decoded image. Put it in the place of `conv` in a trained network, and train on:

        >>> model.conv1 = ThermometerStem(model.conv1, levels=16)

    Images themselves are taken too, as channels that all hold the value: the encoding without its thresholds,
    which is what the undefended row of a table shows. Normalisation by channel does not go with the
    encoding; on the command line, `--mean 0 --std 1`.

    Args:
        conv: the first convolution of a network for images, not grouped; it is left as it is.
        levels: those of the encoding.

    Raises:
        ModelError: a convolution in groups.
    """

    def __init__(self, conv: nn.Conv2d, *, levels: int = 16) -> None:
        super().__init__()
        if conv.groups != 1:
            raise ModelError(f"ThermometerStem needs a convolution of one group, got {conv.groups}.")
        self.levels = levels
        self.in_channels = conv.in_channels
        self.conv = nn.Conv2d(
            conv.in_channels * levels,
            conv.out_channels,
            kernel_size=conv.kernel_size,  # type: ignore[arg-type]  # torch types the attribute more widely
            stride=conv.stride,  # type: ignore[arg-type]
            padding=conv.padding,  # type: ignore[arg-type]
            dilation=conv.dilation,  # type: ignore[arg-type]
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
        )
        with torch.no_grad():
            self.conv.weight.copy_(conv.weight.repeat_interleave(levels, dim=1) / levels)
            if self.conv.bias is not None and conv.bias is not None:
                self.conv.bias.copy_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution's output on encoded images, `(n, channels * levels, h, w)`, or on images."""
        if x.shape[1] == self.in_channels:
            x = x.repeat_interleave(self.levels, dim=1)
        else:
            x = x + 0.5 / self.levels  # half a level, to the middle of the interval
        features: Tensor = self.conv(x)
        return features
