"""The classes that targeted attacks drive an image to."""

from collections.abc import Iterator

import torch
from torch import Tensor

from advbench.gradient import Model
from advbench.losses import without


@torch.no_grad()
def rivals(model: Model, x: Tensor, y: Tensor, most: int) -> Iterator[Tensor]:
    """The most likely classes but the label at the clean images, the most likely first, each `(n,)`.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: clean images.
        y: labels, `(n,)`.
        most: how many; all others where there are fewer.
    """
    order = without(model(x), y).argsort(1, descending=True)
    yield from order[:, : min(most, order.shape[1] - 1)].unbind(1)
