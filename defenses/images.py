"""What defenses of images share: the check of their shape, and their precision."""

import torch
from torch import Tensor

from advbench.errors import DefenseError


def check_images(x: Tensor, name: str) -> None:
    """See that a batch holds images.

    Args:
        x: what the defense was given.
        name: of the defense.

    Raises:
        DefenseError: not `(n, c, h, w)`.
    """
    if x.ndim != 4:
        raise DefenseError(
            f"{name} needs images of shape (n, c, h, w), got {tuple(x.shape)}; place it at the input or at a "
            "convolutional layer."
        )


def widened(x: Tensor) -> Tensor:
    """The same numbers in float32 where they come in half precision: sums are not made in less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
