"""The geometry of a threat: distances, projections, steepest steps and uniform draws, a norm at a time.

Every function takes a batch `(n, ...)` and treats its images one by one. A step or a projection never
mixes images, so results do not depend on how images are batched.
"""

import torch
from torch import Tensor


def project_linf(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    """Nearest point to `x_adv` in the closed L-inf ball of radius `eps` round `x`, then in [0, 1].

    Args:
        x_adv: candidates, `(n, c, h, w)`.
        x: clean images, same shape, in [0, 1].
        eps: radius in pixel units (8/255, not 8).
    """
    return (x_adv - x).clamp_(-eps, eps).add_(x).clamp_(0.0, 1.0)  # in place: one new tensor, not four


def project_l2(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    """Nearest point to `x_adv` in the closed L2 ball of radius `eps` round `x`, then in [0, 1].

    `x` lies in the box, so clipping never moves a point away from it and the result is in both sets.

    Args:
        x_adv: candidates, `(n, c, h, w)`.
        x: clean images, same shape, in [0, 1].
        eps: radius in pixel units, over all pixels and channels of an image.
    """
    delta = x_adv - x
    shrink = (eps / _per_image(l2_norm(delta), delta).clamp_min(_TINY)).clamp_max(1.0)
    return delta.mul_(shrink).add_(x).clamp_(0.0, 1.0)


def steepest_linf(grad: Tensor) -> Tensor:
    """Direction of unit L-inf norm along which the loss grows fastest: `sign(grad)`, with sign(0) = 0."""
    return grad.nan_to_num(0.0).sign_()


def steepest_l2(grad: Tensor) -> Tensor:
    """Direction of unit L2 norm along which the loss grows fastest: `grad / |grad|`, 0 where it vanishes.

    The gradient is divided by its largest entry first: a loss that has saturated leaves gradients whose
    squares underflow in float32.
    """
    grad = grad.nan_to_num(0.0)
    grad = grad / _per_image(linf_norm(grad), grad).clamp_min(_TINY)
    return grad / _per_image(l2_norm(grad), grad).clamp_min(_TINY)


def linf_norm(delta: Tensor) -> Tensor:
    """Largest absolute entry of each image, `(n,)`."""
    return delta.flatten(1).abs().amax(1)


def l2_norm(delta: Tensor) -> Tensor:
    """Euclidean length of each image over all its entries, `(n,)`."""
    norm: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    return norm


def uniform_linf(uniform: Tensor, eps: float) -> Tensor:
    """Points drawn uniformly from the L-inf ball of radius `eps` round 0.

    Args:
        uniform: independent draws in [0, 1), `(n, c, h, w)`.
        eps: radius in pixel units.
    """
    return (2.0 * uniform - 1.0) * eps


def uniform_l2(normal: Tensor, uniform: Tensor, eps: float) -> Tensor:
    """Points drawn uniformly from the L2 ball of radius `eps` round 0.

    A normal vector has a uniform direction, and in `d` dimensions the radius goes as `u**(1/d)`.

    Args:
        normal: independent standard normal draws, `(n, c, h, w)`.
        uniform: independent draws in [0, 1), `(n,)`.
        eps: radius in pixel units.
    """
    dimensions = normal[0].numel()
    radius = eps * uniform ** (1.0 / dimensions)
    return steepest_l2(normal) * _per_image(radius, normal)


_TINY = 1e-30  # keeps 0 / 0 at 0; far below any gradient that float32 can square


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
