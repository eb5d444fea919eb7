"""Normalisation as part of the model, so that attacks and radii stay in pixel units."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advbench.errors import ModelError


class Normalized(nn.Module):
    """A classifier behind `(x - mean) / std`, from pixels in [0, 1] to logits.

    Args:
        network: the classifier, trained on normalised images.
        mean: one number a channel, or one for all channels, in pixel units.
        std: likewise, positive and finite.

    Raises:
        ModelError: lists of different lengths, or a std that is not positive and finite.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean:
            raise ModelError(f"mean and std need one number a channel each, got {len(mean)} and {len(std)}.")
        if not all(0.0 < deviation < float("inf") for deviation in std):
            raise ModelError(
                f"std must be positive and finite, got {', '.join(f'{deviation:g}' for deviation in std)}."
            )
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, of pixels in [0, 1], `(n, c, h, w)`."""
        if len(self.mean) not in (1, x.shape[1]):
            raise ModelError(
                f"mean and std are for {len(self.mean)} channels, the images have {x.shape[1]}. "
                "Give --mean and --std with one number a channel, or one for all."
            )
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits
