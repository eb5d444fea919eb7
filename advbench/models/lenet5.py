"""LeNet5 for MNIST, as published with advertorch's checkpoints."""

import torch.nn.functional as F
from torch import Tensor, nn


class LeNet5(nn.Module):
    """Two 3x3 convolutions with ReLU and pooling, two linear layers; for 28x28 grey images, no normalisation.

    Args:
        num_classes: length of the logits.
    """

    def __init__(self, *, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.linear1 = nn.Linear(64 * 7 * 7, 200)
        self.linear2 = nn.Linear(200, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, of pixels in [0, 1], `(n, 1, 28, 28)`."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        logits: Tensor = self.linear2(F.relu(self.linear1(x.flatten(1))))
        return logits
