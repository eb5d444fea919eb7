"""Where a gradient does not foretell what happens, neither it nor the margins are to be believed."""

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from advbench.defended.gradient import Model, loss_and_gradient
from advbench.threat.losses import margin
from advbench.threat.threat import Threat

from .best import Best

Bounds = tuple[float, float]

# Steps by the gradient in radii, and what the margin does there in parts of what was foretold.
_FORETOLD: Final[Mapping[float, Bounds]] = {0.3: (0.0, 1.25), 1.0: (-0.2, 1.3)}
_CLIMBED: Final[Bounds] = (0.25, 2.0)  # what ascents gain, in parts of what the first gradient foretells
_LOOSE: Final = 2.0  # in L1 a step changes a pixel, which the border of the box may stop at once
_SEARCHED: Final = 0.5  # what a search without gradients gains at most, in parts of what ascents have gained


def doubtful(model: Model, images: tuple[Tensor, Tensor, Tensor], threat: Threat, best: Best) -> Tensor:
    """Which images have a margin that does not follow its gradient, `(n,)` bool, once ascents have ended.

        d = steepest(grad L(x)),   a(s) = (L(x + s d) - L(x - s d)) / (2 s <grad L(x), d>)

    In an honest network `a` is near 1 for small steps and seldom below 0 up to the radius; many steps gain
    about as much as the first gradient foretells. Bends, stairs and jumps of the logits break the one
    or the other (benchmarks/STRONGEST.md has the figures). It costs a gradient and four queries.

    Args:
        model: pixels to logits.
        images: places in the batch `(n,)`, clean images `(n, c, h, w)` and labels `(n,)`.
        threat: whose radius and norm are meant.
        best: what ascents have found; the passes are booked there.
    """
    rows, x, y = images
    _, clean, grad = loss_and_gradient(model, x, lambda logits, piece: margin(logits, y[piece]))
    best.book(rows, grad)
    direction = threat.steepest(grad)
    doubted = torch.zeros_like(rows, dtype=torch.bool)
    slack = _LOOSE if threat.norm == "l1" else 1.0
    for step, bounds in _FORETOLD.items():
        up, down = (threat.project(x + sign * step * threat.eps * direction, x) for sign in (1.0, -1.0))
        with torch.no_grad():
            change = margin(model(up), y) - margin(model(down), y)
        best.book(rows)
        best.book(rows)
        doubted |= _outside(change, _along(grad, up - down), bounds, slack)
    gain = best.loss[rows] - clean
    return doubted | _outside(gain, _along(grad, up - x), _CLIMBED, math.inf if slack > 1.0 else 1.0)


def searched_better(before: Tensor, after: Tensor, clean: Tensor) -> Tensor:
    """Where a search without gradients has gained much beside the attacks before it, `(n,)` bool.

    Args:
        before: the margins that attacks before it had come to, `(n,)`.
        after: the margins now.
        clean: the margins at the clean images.
    """
    return after - before > _SEARCHED * (before - clean)


def _along(grad: Tensor, delta: Tensor) -> Tensor:
    return (grad * delta).flatten(1).sum(1)


def _outside(value: Tensor, foretold: Tensor, bounds: Bounds, slack: float) -> Tensor:
    """Whether a value is not between two parts of what was foretold; so it is where either is NaN."""
    low, high = bounds
    return ~((foretold > 0.0) & (value >= low * foretold) & (value <= slack * high * foretold))
