"""Gradients through float16, kept from vanishing below its smallest number: the loss is scaled, exactly."""

from typing import Final

import torch
from torch import Tensor

_TIMES: Final = 4
"""Backward passes of an image at most."""
_SMALL, _LARGE = 2.0**-6, 2.0**10
"""Between these a gradient is left as it is."""
_FAR: Final = 12
"""Powers of two by which a scale is moved where a gradient vanished, or ran over the largest number."""


def scaled_gradient(losses: Tensor, logits: Tensor, x: Tensor) -> Tensor | None:
    """The gradient of each image's loss, as it would be without underflow in float16.

        grad L(x) = grad (s L)(x) / s,    s a power of two for each image

    Such a factor rounds nothing. The first `s` makes the largest derivative by a logit about 1; where the
    gradient at the image then vanishes, overflows or is far from 1, another one is tried on the same graph.
    Training in mixed precision scales its loss for the same reason (Micikevicius et al. 2018, section 3.2).

    Args:
        losses: of each image, `(n,)`, which must depend on that image alone.
        logits: of which they are, `(n, k)`.
        x: images, `(n, c, h, w)`.

    Returns:
        None where no way leads to `x`. Zero for an image without any gradient.
    """
    slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
        losses.sum(), logits, retain_graph=True, allow_unused=True
    )
    slope = slopes[0]
    if slope is None:
        return None
    power = -_exponent(slope)
    result, solved = torch.zeros_like(x), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(_TIMES):
        factor = torch.ldexp(torch.ones_like(losses), power)
        grads: tuple[Tensor | None, ...] = torch.autograd.grad(
            (losses * factor).sum(), x, retain_graph=True, allow_unused=True
        )
        grad = grads[0]
        if grad is None:
            return None
        largest = grad.abs().flatten(1).amax(1)
        usable = largest.isfinite() & (largest > 0.0)
        fits = usable & (largest >= _SMALL) & (largest <= _LARGE)
        rows = usable & ~solved
        result = torch.where(_wide(rows, x), torch.ldexp(grad, -_wide(power, x)), result)
        solved |= fits
        if bool(solved.all()):
            break
        move = torch.where(usable, -_exponent(grad), torch.where(largest == 0.0, _FAR, -_FAR))
        power = torch.where(solved, power, power + move)
    return result


def _exponent(values: Tensor) -> Tensor:
    """The power of two next above each image's largest number, `(n,)`; 0 where that is 0 or not finite."""
    largest = values.abs().flatten(1).amax(1).float()
    return torch.frexp(torch.where(largest.isfinite(), largest, 1.0)).exponent


def _wide(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in x.shape[1:]))
