"""Fast adaptive boundary attack: the smallest perturbation, found by steps to the linearised boundary."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advbench.defended.gradient import Model, loss_and_gradient
from advbench.draws.draws import Draws
from advbench.errors import SpecError
from advbench.threat.attack import Attempt
from advbench.threat.losses import logit_difference
from advbench.threat.threat import Threat

from .best import NEVER, Best
from .hyperplane import to_hyperplane
from .images import Images
from .rivals import rivals
from .smallest import offer_smallest, search_back


@dataclass(frozen=True, kw_only=True)
class FAB:
    """Fast adaptive boundary attack in its targeted form: the smallest perturbation, whatever the radius.

        x_k+1 = Pi_box((1 - a) (x_k + eta d_k) + a (x + eta d)),   a = min(|d_k| / (|d_k| + |d|), alpha_max)

    where d_k and d are the smallest changes that bring x_k, and the clean x, to the hyperplane where the
    linearised logits of label and target are equal. An x_k+1 that is misclassified is a candidate, and the
    walk goes on from `(1 - beta) x + beta x_k+1`. What comes back is the smallest perturbation found, also
    where it does not fit the threat. Croce, Hein 2020, "Minimally distorted adversarial examples with a fast
    adaptive boundary attack", algorithm 1; targeted as in their "Reliable evaluation", section 4.

    Args:
        steps: a restart and target.
        targets: how many of the most likely other classes are tried, one after another.
        restarts: the first begins at the image, others at a random point near it.
        alpha_max: how far a step may lean towards the clean image at most.
        eta: overshoot beyond the hyperplane.
        beta: what is kept of a perturbation when going back from an example.
        early_stop: let an image leave as soon as a perturbation fits the threat.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True

    steps: int = 100
    targets: int = 9
    restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    early_stop: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "targets", "restarts"):
            if getattr(self, name) < 1:
                raise SpecError(f"fab: {name} must be at least 1, got {getattr(self, name)}.")
        if not 0.0 <= self.alpha_max <= 1.0:
            raise SpecError(f"fab: alpha_max must lie in [0, 1], got {self.alpha_max:g}.")
        if not 1.0 <= self.eta < float("inf"):
            raise SpecError(f"fab: eta must be at least 1, got {self.eta:g}.")
        if not 0.0 < self.beta < 1.0:
            raise SpecError(f"fab: beta must lie in (0, 1), got {self.beta:g}.")

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """The smallest perturbations of `x`; see `Attack`."""
        best = Best.nothing(model, x, goal=2 if self.early_stop else NEVER)
        everything = torch.arange(len(x), device=x.device)
        classes = rivals(model, x, y, self.targets)
        best.book(everything)
        for number, rival in enumerate(classes):
            for restart in range(self.restarts):
                wanted = best.still_wanted(everything)
                rows = everything if wanted is None else everything[wanted]
                if len(rows) == 0:
                    break
                images = Images(rows, x[rows], y[rows], rival[rows])
                start = images.x
                if restart > 0:
                    stream = draws.take(rows).stream(f"{number}/{restart}")
                    start = (start + threat.random_point(start, stream)) / 2.0
                self._walk(model, start, images, threat, best)
        search_back(model, Images(everything, x, y, y), threat, best)
        return Attempt(best.x_adv, best.steps, best.queries, best.flat, best.late_gain)

    def _walk(self, model: Model, now: Tensor, images: Images, threat: Threat, best: Best) -> None:
        """One restart against one rival; `best` takes what it finds."""
        for _ in range(self.steps):
            rows, x, y, rival = images

            def gap(logits: Tensor, piece: slice, y: Tensor = y, rival: Tensor = rival) -> Tensor:
                return logit_difference(logits, y[piece], rival[piece])

            _, height, slope = loss_and_gradient(model, now, gap)
            best.book(rows, slope)
            now = self._step(now, x, height, slope, threat)
            with torch.no_grad():
                logits = model(now)
            fell = offer_smallest(best, images, now, logits, threat)
            back = x + self.beta * (now - x)
            now = torch.where(fell.view(-1, 1, 1, 1), back, now)
            wanted = best.still_wanted(rows)
            if wanted is not None:
                now, images = now[wanted], images.take(wanted)
                if len(now) == 0:
                    return

    def _step(self, now: Tensor, x: Tensor, height: Tensor, slope: Tensor, threat: Threat) -> Tensor:
        """To the linearised boundary, between the point nearest to where we are and that nearest to `x`.

        Args:
            now: current points, `(m, c, h, w)`.
            x: clean images, same shape.
            height: difference of the logits at `now`, `(m,)`.
            slope: its gradient, `(m, c, h, w)`.
            threat: whose norm is meant.
        """
        from_now = to_hyperplane(now, slope, -height, threat.norm)
        drop = (slope.nan_to_num(0.0) * (x - now)).flatten(1).sum(1)
        from_x = to_hyperplane(x, slope, -(height + drop), threat.norm)
        length, base = (threat.distance(step + x, x) for step in (from_now, from_x))
        lean = (length / (length + base).clamp_min(1e-12)).clamp_max(self.alpha_max).view(-1, 1, 1, 1)
        new = (1.0 - lean) * (now + self.eta * from_now) + lean * (x + self.eta * from_x)
        return new.clamp(0.0, 1.0)
