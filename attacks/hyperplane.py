"""The smallest change of an image, in a norm, that reaches a hyperplane without leaving the box."""

from typing import assert_never

import torch
from torch import Tensor

from advbench.threat.threat import Norm


def to_hyperplane(x: Tensor, normal: Tensor, need: Tensor, norm: Norm) -> Tensor:
    """Smallest `delta` with `<normal, delta> = need` and `x + delta` in [0, 1], `(n, c, h, w)`.

    Where the box leaves no such point it is the corner that comes nearest to the plane, and 0 where
    `normal` vanishes (Croce, Hein 2020, "Minimally distorted adversarial examples", section 2.1 and
    appendix A).

    Args:
        x: images in [0, 1], `(n, c, h, w)`.
        normal: of each hyperplane, same shape.
        need: how far `<normal, x>` is from it, `(n,)`; of either sign.
        norm: what is smallest.
    """
    w = normal.nan_to_num(0.0).flatten(1).double() * need.sign().view(-1, 1)
    flat = x.flatten(1).to(w)
    room = torch.where(w > 0, 1.0 - flat, flat).clamp_min(0.0)
    match norm:
        case "linf":
            delta = _level(w.abs(), torch.ones_like(w), room, need.abs())
        case "l2":
            delta = _level(w.abs(), w.abs(), room, need.abs())
        case "l1":
            delta = _greedy(w.abs(), room, need.abs())
        case _:
            assert_never(norm)
    return (delta * w.sign()).view_as(x).to(x)


def _level(weight: Tensor, rate: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """`min(rate * t, room)` for the t whose weighted sum is `need`, all `(n, d)` but `need`, `(n,)`.

    The sum is concave and piecewise linear in t, so that Newton's method, begun at 0, comes from the left and
    is there after a few steps. The papers' sort of all entries takes several times as long.
    """
    speed, most, need = weight * rate, weight * room, need.to(weight).view(-1, 1)
    t = torch.zeros_like(need)
    for _ in range(weight.shape[1]):
        moves = rate * t < room
        reached = torch.where(moves, speed * t, most).sum(1, keepdim=True)
        slope = torch.where(moves, speed, 0.0).sum(1, keepdim=True)
        further = torch.where(slope > 0.0, t + (need - reached) / slope, torch.inf)
        if not bool((further > t * _ROUNDING).any()):
            break
        t = torch.maximum(t, further)
    return torch.where(weight > 0, torch.minimum(rate * t, room), 0.0)


def _greedy(weight: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """In L1 the entries of the largest weight use their room up first, one after another; `(n, d)`."""
    weight, order = weight.sort(1, descending=True)
    room = room.gather(1, order)
    gain = weight * room
    before = gain.cumsum(1) - gain
    share = (need.to(gain).view(-1, 1) - before) / weight.clamp_min(_TINY)
    delta = torch.where(weight > 0, torch.minimum(share.clamp_min(0.0), room), 0.0)
    return torch.zeros_like(delta).scatter(1, order, delta)


_TINY = 1e-30
_ROUNDING = 1.0 + 1e-12
