"""Attacks one after another: an image leaves as soon as one of them fells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from advbench.draws import Draws
from advbench.gradient import Model
from advbench.interfaces import Attack, Attempt, is_chunked
from advbench.judge import fooled, predict
from advbench.losses import margin
from advbench.threat import Threat

from .best import Best


class WarmAttack(Protocol):
    """An attack that can begin where another has ended."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        draws: Draws,
        *,
        start: Tensor | None = None,
    ) -> Attempt:
        """Look for adversarial examples; `start` are images in the ball, `(n, c, h, w)`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One attack of a relay.

    Args:
        attack: the attack.
        within: run it only on images that an earlier leg has brought so near to the boundary that at most
            this part of their clean margin is left, and on those whose every gradient was useless; 1 for all.
    """

    attack: Attack
    within: float = 1.0


@dataclass(frozen=True, kw_only=True)
class WarmLeg:
    """An attack that goes on from the best iterates of the legs before it.

    Args:
        attack: the attack.
        within: as for `Leg`.
    """

    attack: WarmAttack
    within: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Relay:
    """The worst case of several attacks for each image, the cheapest first.

    A forward pass of its own after each attack says who has fallen; no attack is asked. Images that stand to
    the end keep the iterate of the largest margin.

    Args:
        legs: the attacks in their order, by name; the name is part of each one's random streams.
    """

    legs: Mapping[str, Leg | WarmLeg]

    @property
    def chunked(self) -> bool:
        """Whether all of its attacks are; see `Attack`."""
        return all(is_chunked(leg.attack) for leg in self.legs.values())

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`; see `Attack`."""
        best, rows = Best.nothing(model, x, goal=1), torch.arange(len(x), device=x.device)
        late_gain = torch.full_like(best.loss, torch.nan)
        followed = torch.zeros_like(best.flat)  # whether a gradient was asked for at all
        _offer(model, best, (rows, x, y))
        clean = best.loss.clone()
        for name, leg in self.legs.items():
            near = (best.loss >= leg.within * clean) | (best.flat & followed) | (leg.within >= 1.0)
            rows = ((best.rank < best.goal) & near).nonzero().flatten()
            if len(rows) == 0:
                continue
            stream = draws.take(rows).stream(name)
            if isinstance(leg, WarmLeg):
                attempt = leg.attack(model, x[rows], y[rows], threat, stream, start=best.x_adv[rows])
            else:
                attempt = leg.attack(model, x[rows], y[rows], threat, stream)
            best.steps[rows] += attempt.steps
            best.queries[rows] += attempt.queries
            asked = attempt.steps > 0
            best.flat[rows] &= attempt.flat | ~asked
            followed[rows] |= asked
            if attempt.late_gain is not None:
                late_gain[rows[asked]] = attempt.late_gain[asked].to(late_gain)
            _offer(model, best, (rows, threat.project(attempt.x_adv, x[rows]), y[rows]))
        return Attempt(best.x_adv, best.steps, best.queries, best.flat & followed, late_gain)


@torch.no_grad()
def _offer(model: Model, best: Best, images: tuple[Tensor, Tensor, Tensor]) -> None:
    rows, x_adv, y = images
    logits = model(x_adv)
    best.offer(rows, x_adv, fooled(predict(logits), y).long(), margin(logits, y))
