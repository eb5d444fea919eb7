"""One forward and one input-only backward pass."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from advbench.defended import DefendedModel

Model = Callable[[Tensor], Tensor]


class Ascent(NamedTuple):
    """What one gradient pass tells: logits `(n, k)`, loss `(n,)`, gradient `(n, c, h, w)`."""

    logits: Tensor
    loss: Tensor
    grad: Tensor


def loss_and_gradient(model: Model, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Ascent:
    """Logits, loss and the loss's gradient at `x`.

    Only the input's gradient is computed. Where the model gives none (a defense that cuts the graph), it
    is zero, which is what an attack that follows it would see. Behind a random defense all three are means
    over its draws: the expectation over transformation of Athalye, Engstrom, Ilyas, Kwok 2018, section 2.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: where to differentiate.
        loss: logits to one number an image, `(n,)`.
    """
    draws = model.draws() if isinstance(model, DefendedModel) else [model]
    found = [_one_draw(draw, x, loss) for draw in draws]
    return (
        found[0]
        if len(found) == 1
        else Ascent(*(torch.stack(each).mean(0) for each in zip(*found, strict=True)))
    )


@torch.enable_grad()
def _one_draw(model: Model, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Ascent:
    x = x.detach().requires_grad_()
    logits = model(x)
    losses = loss(logits)
    grad = None
    if losses.requires_grad:
        (grad,) = torch.autograd.grad(losses.sum(), x, allow_unused=True)
    return Ascent(logits.detach(), losses.detach(), torch.zeros_like(x) if grad is None else grad)
