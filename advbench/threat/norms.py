"""The geometry of a threat: distances, projections, steepest steps and uniform draws, a norm at a time.

Every function takes a batch `(n, ...)` and treats its images one by one. A step or a projection never
mixes images, so results do not depend on how images are batched.
"""

import torch
from torch import Tensor


def project_linf(x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
    """Nearest point to `x_adv` in the closed L-inf ball of radius `eps` round `x`, then in [0, 1].

    Args:
        x_adv: candidates, `(n, c, h, w)`.
        x: clean images, same shape, in [0, 1].
        eps: radius in pixel units (8/255, not 8), or one an image, `(n,)`.
    """
    if isinstance(eps, Tensor):
        radius = _per_image(eps, x)
        return (x_adv - x).clamp_(-radius, radius).add_(x).clamp_(0.0, 1.0)
    return (x_adv - x).clamp_(-eps, eps).add_(x).clamp_(0.0, 1.0)  # in place: one new tensor, not four


def project_l2(x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
    """Nearest point to `x_adv` in the closed L2 ball of radius `eps` round `x`, then in [0, 1].

    `x` lies in the box, so clipping never moves a point away from it and the result is in both sets.

    Args:
        x_adv: candidates, `(n, c, h, w)`.
        x: clean images, same shape, in [0, 1].
        eps: radius in pixel units, over all pixels and channels of an image, or one an image, `(n,)`.
    """
    delta = x_adv - x
    if isinstance(eps, Tensor):
        eps = _per_image(eps, x)
    shrink = (eps / _per_image(l2_norm(delta), delta).clamp_min(_TINY)).clamp_max(1.0)
    return delta.mul_(shrink).add_(x).clamp_(0.0, 1.0)


def project_l1(x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
    """Nearest point to `x_adv` in both the closed L1 ball of radius `eps` round `x` and [0, 1].

    Every entry of the perturbation shrinks by the same amount, as far as the box lets it count: with w the
    perturbation and b the distance to the box in its direction, `sign(w) * clamp(|w| - s, 0, b)` for the
    least s >= 0 whose sum is at most `eps`. That sum is piecewise linear in s, with breaks at |w| and |w| - b
    (Croce, Hein 2021, "Mind the box", section 3: to project on ball and box in turn is not enough).

    Args:
        x_adv: candidates, `(n, c, h, w)`.
        x: clean images, same shape, in [0, 1].
        eps: radius in pixel units, over all pixels and channels of an image, or one an image, `(n,)`.
    """
    w = (x_adv - x).flatten(1).to(_float64(x))
    size, room = w.abs(), torch.where(w > 0, 1.0 - x.flatten(1), x.flatten(1)).to(w)
    shrink = _shrinkage(size, room, eps)
    delta = w.sign() * torch.minimum((size - shrink).clamp_min(0.0), room)
    return (x + delta.view_as(x).to(x)).clamp_(0.0, 1.0)


def _shrinkage(size: Tensor, room: Tensor, eps: float | Tensor) -> Tensor:
    """The least `s >= 0` for which `sum(clamp(size - s, 0, room)) <= eps`, `(n, 1)`."""
    if isinstance(eps, Tensor):
        eps = eps.to(size).view(-1, 1)
    # Coming down from above, an entry begins to count at s = size, and has all its room at s = size - room.
    breaks = torch.cat([size, size - room], dim=1)
    change = torch.cat([torch.ones_like(size), -torch.ones_like(room)], dim=1)
    breaks, order = breaks.sort(dim=1, descending=True)
    slope = change.gather(1, order).cumsum(1)  # how fast the sum grows below each break
    steps = (breaks[:, :-1] - breaks[:, 1:]) * slope[:, :-1]
    total = torch.cat([torch.zeros_like(breaks[:, :1]), steps.cumsum(1)], dim=1)  # the sum at each break
    last = (total <= eps).sum(1, keepdim=True) - 1  # the lowest break that is still inside
    inside = breaks.gather(1, last)
    fall = (eps - total.gather(1, last)) / slope.gather(1, last).clamp_min(1.0)
    return (inside - fall).clamp_min(0.0)


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


def steepest_l1(grad: Tensor) -> Tensor:
    """Sparse direction of unit L1 norm: the signs of the largest hundredth of the entries; 0 if all are.

    Strictly the loss grows fastest along the largest entry alone, which a box around the pixels soon stops;
    the hundredth is that of SLIDE (Tramer, Boneh 2019, section 4).
    """
    flat = grad.nan_to_num(0.0).flatten(1)
    count = max(1, round(0.01 * flat.shape[1]))
    least = flat.abs().topk(count, dim=1).values[:, -1:]
    signs = torch.where(flat.abs() >= least, flat.sign(), 0.0)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1.0)).view_as(grad)


def l1_norm(delta: Tensor) -> Tensor:
    """Sum of the absolute entries of each image, `(n,)`; summed in float64 where the device has it."""
    return delta.flatten(1).abs().sum(1, dtype=_float64(delta)).to(delta.dtype)


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


def uniform_l1(signs: Tensor, uniform: Tensor, eps: float) -> Tensor:
    """Points drawn uniformly from the L1 ball of radius `eps` round 0.

    Exponential draws divided by their sum, one more than there are entries, are uniform in the simplex.

    Args:
        signs: independent draws in [0, 1), `(n, c, h, w)`; above one half means positive.
        uniform: independent draws in [0, 1), `(n, c * h * w + 1)`.
        eps: radius in pixel units.
    """
    lengths = -torch.log1p(-uniform.to(_float64(uniform)))
    lengths = lengths / lengths.sum(1, keepdim=True).clamp_min(_TINY)
    return torch.where(signs >= 0.5, eps, -eps) * lengths[:, :-1].to(signs).view_as(signs)


def _float64(like: Tensor) -> torch.dtype:
    return torch.float32 if like.device.type == "mps" else torch.float64


_TINY = 1e-30  # keeps 0 / 0 at 0; far below any gradient that float32 can square


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
