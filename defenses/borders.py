"""What lies beyond an image's border, for filters on images of any size, 1x1 too."""

import torch
import torch.nn.functional as F
from torch import Tensor


def extended(x: Tensor, before: int, after: int, *, twice: bool) -> Tensor:
    """Images mirrored at their borders, as often as it takes.

    Args:
        x: `(..., h, w)`.
        before: pixels to add above and on the left.
        after: pixels to add below and on the right.
        twice: whether the outermost pixel is repeated, `(b a | a b c)`, SciPy's `reflect` and NumPy's
            `symmetric`; or not, `(c b | a b c)`, NumPy's `reflect`.

    Returns:
        `(..., before + h + after, before + w + after)`.
    """
    h, w = x.shape[-2:]
    rows, columns = (mirrored(size, before, after, twice=twice).to(x.device) for size in (h, w))
    return x.index_select(-2, rows).index_select(-1, columns)


def mirrored(size: int, before: int, after: int, *, twice: bool) -> Tensor:
    """Where each pixel of a mirrored line comes from, `(before + size + after,)` int64; see `extended`."""
    last = 2 * size - 1 if twice else 2 * size - 2
    place = torch.arange(-before, size + after).remainder(last + 1 if twice else max(last, 1))
    return torch.minimum(place, last - place) if size > 1 else torch.zeros_like(place)


def average(x: Tensor, size: int) -> Tensor:
    """The mean of each pixel's window of `size` x `size`, mirrored at the borders; `(n, c, h, w)`.

    Where a window has no middle it reaches further up and left, as in SciPy.
    """
    wide = extended(widened(x), size // 2, (size - 1) // 2, twice=True)
    return F.avg_pool2d(wide, size, stride=1).to(x.dtype)


def widened(x: Tensor) -> Tensor:
    """The same numbers in float32 where they come in half precision: sums are not made in less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
