"""Attacks on a model that takes 8-bit pixels: examples are among its levels, and still inside the ball.

The model rounds what it is given. What is judged and kept is therefore what it sees. In L-inf a rounding
neither undoes an example nor carries it out of the ball; in L2 and L1 one that is carried out is drawn back,
and may fool no more.
"""

import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from advbench.defended.black_box import black_box_in
from advbench.defended.model import network_of
from advbench.threat.threat import ROUNDING, Threat

_HALVINGS: Final = 10


def levels_of(model: nn.Module) -> int | None:
    """Steps between black and white of the pixels that a model takes; None for any number."""
    box = black_box_in(model)
    if box is not None:
        return box.levels
    levels: int | None = getattr(network_of(model), "pixel_levels", None)
    return levels


def reachable(threat: Threat, levels: int | None) -> Threat:
    """The threat with the largest L-inf radius that is a whole number of steps: the same images lie within.

    A radius below one step is left as it is; nothing but the clean image lies within.
    """
    if levels is None or threat.norm != "linf":
        return threat
    eps = math.floor(threat.eps * levels + ROUNDING * levels) / levels
    return replace(threat, eps=eps) if eps > 0.0 else threat


def on_levels(x_adv: Tensor, x: Tensor, threat: Threat, levels: int | None) -> Tensor:
    """What a model sees of examples: pixels among its levels, in the ball round images that are so already.

    A rounded example that lies outside is rounded again nearer to the clean image, halfway by bisection.

    Args:
        x_adv: in the ball, `(n, c, h, w)`.
        x: clean images among the levels, same shape.
        threat: the ball.
        levels: steps between black and white; None for any number, which changes nothing.
    """
    if levels is None:
        return x_adv
    rounded = as_seen(x_adv, levels)
    outside = ~threat.contains(rounded, x)
    if not bool(outside.any()):
        return rounded
    far, near = x_adv[outside], x[outside]
    low = torch.zeros(len(far), 1, 1, 1, device=x.device)
    high, best = torch.ones_like(low), near.clone()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        candidate = as_seen(near + middle * (far - near), levels)
        inside = threat.contains(candidate, near).view(-1, 1, 1, 1)
        best = torch.where(inside, candidate, best)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    rounded[outside] = best
    return rounded


def as_seen(x: Tensor, levels: int | None) -> Tensor:
    """Images `(n, c, h, w)` as a model sees them that takes pixels among some levels; None for any number."""
    return x if levels is None else (x * levels).round() / levels
