"""Fast minimum-norm attack: one gradient a step, and a radius that follows the boundary."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from advbench.defended.gradient import Model, loss_and_gradient
from advbench.draws.draws import Draws
from advbench.errors import SpecError
from advbench.threat.attack import Attempt
from advbench.threat.losses import logit_difference, margin
from advbench.threat.norms import l1_norm, l2_norm, linf_norm
from advbench.threat.threat import Threat

from .best import NEVER, Best
from .images import Images
from .rivals import rivals
from .smallest import offer_smallest, search_back

_GAMMA = (0.05, 0.001)  # how much the radius changes, at the first step and at the last (paper, section 2.2)
_SLOWEST = 0.01  # part of the first step size that is left at the last step
_DUAL = {"linf": l1_norm, "l2": l2_norm, "l1": linf_norm}


@dataclass(frozen=True, kw_only=True)
class FMN:
    """Fast minimum-norm attack: the smallest perturbation, whatever the radius.

        eps_k = (1 + gamma_k) (|d_k| - L / |grad L|_q)    until an example is known; after that
                (1 + gamma_k) eps_k-1                     where d_k is none
                min(|d_best|, (1 - gamma_k) eps_k-1)      where d_k is one
        d_k+1 = P_eps_k(d_k + step_k * eps_k * steepest(grad L))

    L is the difference of the logits of the strongest rival, or of a fixed one, and of the label; q is the
    dual norm; gamma and step decay along a cosine. Pintor, Roli, Brendel, Biggio 2021, algorithm 1. Differs
    from the paper: because steps of the norm's own steepest direction, as long as a part of the radius, found
    perturbations of half the size on networks that squash small inputs; and the first radius goes a little
    beyond the linearised boundary, because on a linear network it would end on the boundary itself.

    Args:
        steps: gradient steps a target.
        targets: drive each image to so many of its most likely other classes, one after another; 0 to let the
            strongest rival change along the way.
        step_size: length of the first step in radii; by default 0.3 in L-inf and 1 in L2 and L1.
        early_stop: let an image leave as soon as a perturbation fits the threat.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True

    steps: int = 100
    targets: int = 0
    step_size: float | None = None
    early_stop: bool = False

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("targets", 0)):
            if getattr(self, name) < least:
                raise SpecError(f"fmn: {name} must be at least {least}, got {getattr(self, name)}.")
        if self.step_size is not None and not 0.0 < self.step_size < float("inf"):
            raise SpecError(f"fmn: step_size must be positive, got {self.step_size:g}.")

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        draws: Draws,  # noqa: ARG002  # nothing here is random
    ) -> Attempt:
        """The smallest perturbations of `x`; see `Attack`."""
        best = Best.nothing(model, x, goal=2 if self.early_stop else NEVER)
        rows = torch.arange(len(x), device=x.device)
        classes = [y]
        if self.targets > 0:
            classes = rivals(model, x, y, self.targets)
            best.book(rows)
        for rival in classes:
            images = Images(rows, x, y, rival)
            wanted = best.still_wanted(rows)
            self._walk(model, images if wanted is None else images.take(wanted), threat, best)
        search_back(model, Images(rows, x, y, y), threat, best)
        return Attempt(best.x_adv, best.steps, best.queries, best.flat, best.late_gain)

    def _walk(self, model: Model, images: Images, threat: Threat, best: Best) -> None:
        """The descent to the boundary with one rival; `best` takes what it finds."""
        x_adv, radius = images.x, torch.full(images.x.shape[:1], torch.inf, device=images.x.device)
        fallen = torch.zeros_like(radius, dtype=torch.bool)
        for number in range(self.steps):
            if len(images.rows) == 0:
                return
            logits, loss, grad = loss_and_gradient(model, x_adv, partial(self._loss_of_a_piece, images))
            fell = offer_smallest(best, images, x_adv, logits, threat, grad=grad)
            fallen = fallen | fell
            gamma = _cosine(*_GAMMA, number / self.steps)
            to_boundary = threat.distance(x_adv, images.x) - loss / _DUAL[threat.norm](grad)
            outward = (1.0 + gamma) * torch.where(fallen, radius, to_boundary)
            inward = torch.minimum(-best.loss[images.rows], (1.0 - gamma) * radius)
            radius = torch.where(fell, inward, outward).nan_to_num(torch.inf, posinf=torch.inf)
            length = self._step_size(threat, number) * radius.clamp_max(1.0)
            x_adv = x_adv + length.view(-1, 1, 1, 1) * threat.steepest(_inwards(grad, x_adv))
            x_adv = threat.project(x_adv, images.x, radius)
            wanted = best.still_wanted(images.rows)
            if wanted is not None:
                images, x_adv, radius, fallen = (
                    images.take(wanted),
                    x_adv[wanted],
                    radius[wanted],
                    fallen[wanted],
                )

    def _loss_of_a_piece(self, images: Images, logits: Tensor, piece: slice) -> Tensor:
        return self._loss(logits, images.take(piece))

    def _loss(self, logits: Tensor, images: Images) -> Tensor:
        if self.targets == 0:
            return margin(logits, images.y)
        return logit_difference(logits, images.y, images.rival)

    def _step_size(self, threat: Threat, number: int) -> float:
        """In radii."""
        first = self.step_size or (0.3 if threat.norm == "linf" else 1.0)
        return first * _cosine(1.0, _SLOWEST, number / self.steps)


def _inwards(grad: Tensor, x_adv: Tensor) -> Tensor:
    """The gradient without what points out of the box: in L1 a step has few entries, and none to waste."""
    blocked = ((x_adv <= 0.0) & (grad < 0.0)) | ((x_adv >= 1.0) & (grad > 0.0))
    return grad.masked_fill(blocked, 0.0)


def _cosine(first: float, last: float, progress: float) -> float:
    """From `first` to `last` along half a wave, as `progress` goes from 0 to 1."""
    return last + (first - last) * (1.0 + math.cos(math.pi * progress)) / 2.0
