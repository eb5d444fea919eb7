"""The smallest change of an image, in a norm, that reaches a hyperplane without leaving the box."""

from typing import assert_never

import torch
from torch import Tensor

from advbench.threat import Norm


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

    The sum is concave and piecewise linear in t, with a break where an entry has used its room up.
    """
    breaks, order = torch.where(weight > 0, room / rate.clamp_min(_TINY), 0.0).sort(1)
    slope, most = (weight * rate).gather(1, order), (weight * room).gather(1, order)
    left = slope.flip(1).cumsum(1).flip(1) - slope  # of the entries that still move beyond each break
    reached = most.cumsum(1) + breaks * left
    need = need.to(reached).view(-1, 1)
    after = (reached < need).sum(1, keepdim=True)  # how many breaks lie below t
    last = (after - 1).clamp_min(0)
    begun = after > 0
    t = torch.where(begun, breaks.gather(1, last), 0.0)
    done = torch.where(begun, reached.gather(1, last), 0.0)
    speed = torch.where(begun, left.gather(1, last), slope.sum(1, keepdim=True))
    t = t + (need - done) / speed.clamp_min(_TINY)
    within = after < breaks.shape[1]
    delta = torch.where(within, torch.minimum(rate * t, room), room)
    return torch.where(weight > 0, delta, 0.0)


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
