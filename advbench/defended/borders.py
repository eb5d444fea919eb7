"""What lies beyond an image's border, for filters on images of any size, 1x1 too."""

import torch
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
