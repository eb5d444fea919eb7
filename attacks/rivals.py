"""The classes that targeted attacks drive an image to."""

import torch
from torch import Tensor

from advbench.defended.gradient import Model


@torch.no_grad()
def rivals(model: Model, x: Tensor, y: Tensor, most: int) -> list[Tensor]:
    """The most likely classes but the label at the clean images, the most likely first, each `(n,)`.

    It takes a forward pass, which the caller counts.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: clean images.
        y: labels, `(n,)`.
        most: how many; all others where there are fewer.
    """
    order = model(x).argsort(dim=1, descending=True, stable=True)
    others = order[order != y[:, None]].view(len(order), order.shape[1] - 1)
    return list(others[:, :most].unbind(1))
