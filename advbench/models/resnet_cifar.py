"""The residual networks for CIFAR of He, Zhang, Ren, Sun 2016, section 4.2, with option-A shortcuts."""

import torch.nn.functional as F
from torch import Tensor, nn

from advbench.errors import SpecError


class ResNetCIFAR(nn.Module):
    """`6n + 2` layers in three stages of `n` blocks with 16, 32 and 64 channels; for 32x32 RGB images.

    Args:
        depth: 20, 32, 44, 56, ...
        num_classes: length of the logits.

    Raises:
        SpecError: a depth that is no `6n + 2`.
    """

    def __init__(self, *, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        blocks, left = divmod(depth - 2, 6)
        if left or blocks < 1:
            raise SpecError(f"depth must be 6n + 2 (8, 14, 20, ...), got {depth}.")
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks)
        self.layer2 = _stage(16, 32, blocks)
        self.layer3 = _stage(32, 64, blocks)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, of normalised images, `(n, 3, 32, 32)`."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.stride = channels_out // channels_in
        self.added = channels_out - channels_in
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        """Option A: subsample, and fill the new channels with zeros on both sides; no parameters."""
        if self.added == 0:
            return x
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added // 2))


def _stage(channels_in: int, channels_out: int, blocks: int) -> nn.Sequential:
    widths = [channels_in] + [channels_out] * (blocks - 1)
    return nn.Sequential(*(_Block(width, channels_out) for width in widths))


def resnet20(*, num_classes: int = 10) -> ResNetCIFAR:
    """ResNet-20, 0.27 M parameters."""
    return ResNetCIFAR(depth=20, num_classes=num_classes)


def resnet32(*, num_classes: int = 10) -> ResNetCIFAR:
    """ResNet-32, 0.46 M parameters."""
    return ResNetCIFAR(depth=32, num_classes=num_classes)


def resnet44(*, num_classes: int = 10) -> ResNetCIFAR:
    """ResNet-44, 0.66 M parameters."""
    return ResNetCIFAR(depth=44, num_classes=num_classes)


def resnet56(*, num_classes: int = 10) -> ResNetCIFAR:
    """ResNet-56, 0.85 M parameters."""
    return ResNetCIFAR(depth=56, num_classes=num_classes)
