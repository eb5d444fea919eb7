"""Attacks one after another: an image leaves as soon as one of them fells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from advbench.defended.attacked_as import attacked_as, showing
from advbench.defended.gradient import Model
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.runs.manifest import LATER
from advbench.threat.attack import Attack, Attempt, is_chunked
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import margin
from advbench.threat.threat import Threat

from .best import Best
from .doubt import doubtful, searched_better


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
            this part of their clean margin is left, on those whose every gradient was useless, and on those
            whose margin is doubted; 1 for all.
        doubted: run it on images alone whose margin does not follow its gradient (see `Relay`); it then draws
            as it does outside a relay.
    """

    attack: Attack
    within: float = 1.0
    doubted: bool = field(default=False, metadata={LATER: True})


@dataclass(frozen=True, kw_only=True)
class WarmLeg:
    """An attack that goes on from the best iterates of the legs before it.

    Args:
        attack: the attack.
        within: as for `Leg`.
        doubted: as for `Leg`.
    """

    attack: WarmAttack
    within: float = 1.0
    doubted: bool = field(default=False, metadata={LATER: True})


@dataclass(frozen=True, kw_only=True)
class Relay:
    """The worst case of several attacks for each image, the cheapest first.

    A forward pass of its own after each attack says who has fallen; no attack is asked. Images that stand to
    the end keep the iterate of the largest margin.

    Args:
        legs: the attacks in their order, by name; the name is part of each one's random streams.
        look_after: the leg after which the margins of the images that stand are compared with their gradients
            (`doubt`); no margin is doubted without.
    """

    tells_rows: ClassVar[bool] = True

    legs: Mapping[str, Leg | WarmLeg]
    look_after: str = field(default="", metadata={LATER: True})

    @property
    def chunked(self) -> bool:
        """Whether all of its attacks are; see `Attack`."""
        return all(is_chunked(leg.attack) for leg in self.legs.values())

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`; see `Attack`."""
        course = _Course.begun(model, x, y)
        best = course.best
        for name, leg in self.legs.items():
            rows = course.wanted(leg)
            if len(rows) > 0:
                stream = draws.take(rows) if leg.doubted else draws.take(rows).stream(name)
                images = (x[rows], y[rows])
                if isinstance(leg, WarmLeg):
                    seen = attacked_as(leg.attack, model, stream)
                    attempt = leg.attack(seen, *images, threat, stream, start=best.x_adv[rows])
                else:
                    attempt = leg.attack(attacked_as(leg.attack, model, stream), *images, threat, stream)
                course.note(rows, attempt)
                before = best.loss[rows]
                _offer(model, best, (rows, threat.project(attempt.x_adv, images[0]), images[1]))
                course.compare(rows, before, attempt)
            if name == self.look_after:
                course.look(model, x, y, threat)
        return Attempt(best.x_adv, best.steps, best.queries, best.flat & course.followed, course.late_gain)


@dataclass
class _Course:
    """How far the attacks have come; an entry an image, `(n,)`."""

    best: Best
    clean: Tensor  # margins
    late_gain: Tensor
    followed: Tensor  # whether a gradient was asked for at all
    doubted: Tensor
    together: bool
    """Whether the answer to an image depends on the others: a leg is for all of them, or for none."""
    looked: bool = False

    @classmethod
    def begun(cls, model: Model, x: Tensor, y: Tensor) -> "_Course":
        """At the clean images."""
        best = Best.nothing(model, x, goal=1)
        _offer(model, best, (torch.arange(len(x), device=x.device), x, y))
        no = torch.zeros_like(best.flat)
        unknown = torch.full_like(best.loss, torch.nan)
        together = isinstance(model, DefendedModel) and model.goes_together
        return cls(best, best.loss.clone(), unknown, no, no.clone(), together)

    def wanted(self, leg: Leg | WarmLeg) -> Tensor:
        """Which images a leg is for, as places in the batch."""
        best = self.best
        chosen = (best.loss >= leg.within * self.clean) | (best.flat & self.followed) | (leg.within >= 1.0)
        chosen = self.doubted if leg.doubted else chosen | self.doubted
        if self.together:
            chosen = chosen | chosen.any()
        return ((best.rank < best.goal) & chosen).nonzero().flatten()

    def note(self, rows: Tensor, attempt: Attempt) -> None:
        """Book what an attack has cost, and what it says of its gradients."""
        best, asked = self.best, attempt.steps > 0
        best.steps[rows] += attempt.steps
        best.queries[rows] += attempt.queries
        best.flat[rows] &= attempt.flat | ~asked
        self.followed[rows] |= asked
        if attempt.late_gain is not None:
            self.late_gain[rows[asked]] = attempt.late_gain[asked].to(self.late_gain)

    def compare(self, rows: Tensor, before: Tensor, attempt: Attempt) -> None:
        """Doubt margins that a search without gradients has moved far, once ascents have ended."""
        if self.looked:
            moved = searched_better(before, self.best.loss[rows], self.clean[rows])
            self.doubted[rows] |= moved & (attempt.steps == 0)

    def look(self, model: Model, x: Tensor, y: Tensor, threat: Threat) -> None:
        """Doubt margins that do not follow their gradients."""
        rows = (self.best.rank < self.best.goal).nonzero().flatten()
        if len(rows) > 0:
            self.doubted[rows] = doubtful(showing(model, rows), (rows, x[rows], y[rows]), threat, self.best)
        self.looked = True


@torch.no_grad()
def _offer(model: Model, best: Best, images: tuple[Tensor, Tensor, Tensor]) -> None:
    rows, x_adv, y = images
    logits = showing(model, rows)(x_adv)
    best.offer(rows, x_adv, fooled(predict(logits), y).long(), margin(logits, y))
