"""The small convolutional network with BatchNorm of the embedded example."""

from torch import Tensor, nn


class DigitsCNN(nn.Module):
    """Three 3x3 convolutions with BatchNorm, two poolings, one linear layer; for 8x8 grey images.

    Args:
        num_classes: length of the logits.
    """

    def __init__(self, *, num_classes: int = 10) -> None:
        super().__init__()
        self.layer1 = _block(1, 16)
        self.layer2 = nn.Sequential(_block(16, 32), nn.MaxPool2d(2))
        self.layer3 = nn.Sequential(_block(32, 64), nn.MaxPool2d(2))
        self.linear = nn.Linear(64 * 2 * 2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, of pixels in [0, 1], `(n, 1, 8, 8)`."""
        features = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(features.flatten(1))
        return logits


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())
