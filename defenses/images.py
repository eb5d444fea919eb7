"""What defenses of images share: the check of their shape, their precision, and the average of a window."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.errors import DefenseError

from .borders import extended


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


def average(x: Tensor, size: int) -> Tensor:
    """The mean of each pixel's window of `size` x `size`, mirrored at the borders; `(n, c, h, w)`.

    Where a window has no middle it reaches further up and left, as in SciPy. The substitute of Athalye,
    Carlini, Wagner 2018 and of Tramer et al. 2020 for whatever smooths an image: it keeps low frequencies,
    which such a defense lets through, and drops high ones, which it does not.
    """
    wide = extended(widened(x), size // 2, (size - 1) // 2, twice=True)
    return F.avg_pool2d(wide, size, stride=1).to(x.dtype)
