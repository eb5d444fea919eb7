"""What defenses of images share: the check of their shape, their precision, and the average pool."""

import torch
from torch import Tensor
from torch.nn import functional as F

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


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 if it has fewer bits: 16 of them cannot tell the levels of a fine quantiser apart."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def average_pool(x: Tensor, size: int = 3) -> Tensor:
    """The mean of the `size x size` pixels round each one, the border's pixels repeated; `(n, c, h, w)`.

    The substitute of Athalye, Carlini, Wagner 2018 and of Tramer et al. 2020 for whatever smooths an image:
    it keeps low frequencies, which such a defense lets through, and drops high ones, which it does not.

    Args:
        x: images, any height and width.
        size: side of the window, odd.
    """
    margin = size // 2
    padded = F.pad(at_least_float32(x), (margin, margin, margin, margin), mode="replicate")
    return F.avg_pool2d(padded, size, stride=1).to(x.dtype)
