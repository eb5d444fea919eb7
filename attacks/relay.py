"""Attacks one after another: an image leaves as soon as one of them fells it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from advbench.draws import Draws
from advbench.interfaces import Attack, Attempt
from advbench.judge import fooled, predict
from advbench.threat import Threat

from .best import Best
from .gradient import Model
from .losses import margin


@dataclass(frozen=True, kw_only=True)
class Relay:
    """The worst case of several attacks for each image, the cheapest first.

    A forward pass of its own after each attack says who has fallen; no attack is asked. Images that stand to
    the end keep the iterate of the largest margin.

    Args:
        legs: the attacks in their order, by name; the name is part of each one's random streams.
    """

    legs: Mapping[str, Attack]

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`; see `Attack`."""
        best, rows = Best.nothing(x, goal=1), torch.arange(len(x), device=x.device)
        followed = torch.zeros_like(best.flat)  # whether a gradient was asked for at all
        for name, attack in self.legs.items():
            wanted = best.still_wanted(rows)
            rows = rows if wanted is None else rows[wanted]
            if len(rows) == 0:
                break
            attempt = attack(model, x[rows], y[rows], threat, draws.take(rows).stream(name))
            unsettled = best.rank[rows] < best.goal
            best.steps[rows] += attempt.steps * unsettled
            best.queries[rows] += attempt.queries * unsettled
            asked = (attempt.steps > 0) & unsettled
            best.flat[rows] &= attempt.flat | ~asked
            followed[rows] |= asked
            x_adv = threat.project(attempt.x_adv, x[rows])
            with torch.no_grad():
                logits = model(x_adv)
            best.offer(rows, x_adv, fooled(predict(logits), y[rows]).long(), margin(logits, y[rows]))
        return Attempt(best.x_adv, best.steps, best.queries, best.flat & followed)
