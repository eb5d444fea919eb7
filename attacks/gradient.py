"""One forward and one input-only backward pass."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Model = Callable[[Tensor], Tensor]


class Ascent(NamedTuple):
    """What one gradient pass tells: logits `(n, k)`, loss `(n,)`, gradient `(n, c, h, w)`."""

    logits: Tensor
    loss: Tensor
    grad: Tensor


def loss_and_gradient(model: Model, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Ascent:
    """Logits, loss and the loss's gradient at `x`.

    Only the input's gradient is computed. Where the model gives none (a defense that cuts the graph), it
    is zero, which is what an attack that follows it would see.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: where to differentiate.
        loss: logits to one number an image, `(n,)`.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = model(x)
        losses = loss(logits)
        grad = None
        if losses.requires_grad:
            (grad,) = torch.autograd.grad(losses.sum(), x, allow_unused=True)
    return Ascent(logits.detach(), losses.detach(), torch.zeros_like(x) if grad is None else grad)
