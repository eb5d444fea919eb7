"""Projected gradient descent and its one-step case, the fast gradient method."""

import operator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, SupportsIndex, get_args

import torch
from torch import Tensor

from advbench.defended.gradient import Model, loss_and_gradient
from advbench.draws.draws import Draws
from advbench.errors import SpecError, nearest
from advbench.threat.attack import Attempt
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import AGAINST_A_CLASS, LossName, logit_difference, without
from advbench.threat.threat import Threat

from .best import NEVER, Best
from .images import Images

Target = int | Literal["runner-up", "least-likely"]
NAMED_TARGETS = ("runner-up", "least-likely")


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Ascent on the loss along the steepest direction of the threat's norm, projected after each step.

        x_{t+1} = Pi_{ball and box}(x_t + step_size * steepest(grad L(x_t, y)))

    Madry, Makelov, Schmidt, Tsipras, Vladu 2018, equation 3. For each image the best iterate is kept, not
    the last: one that is misclassified before one that is not, then the one of higher loss. Success is
    noticed in the logits of the gradient pass, and an image that has fallen leaves the batch. A targeted
    attack goes on until the target is predicted.

    Args:
        steps: gradient steps a restart.
        step_size: in pixel units; by default 2.5 * eps / steps, or eps where there is one step.
        random_start: begin at a uniform point of the ball (True) or at the image itself (False).
        restarts: how often to begin anew for the images that still stand.
        loss: `ce`, `margin`, `dlr` or `logit-difference`.
        target: a class that every image is driven to, or each image's `runner-up` or `least-likely`
            class at its clean point; none by default. Images of the target class are driven to their
            runner-up.
        early_stop: let images that have fallen leave the batch. Without it every image costs all steps.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True
    bfloat16: ClassVar[bool] = True

    steps: int = 40
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    loss: LossName = "ce"
    target: Target | None = None
    early_stop: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SpecError(f"pgd: steps must be at least 1, got {self.steps}.")
        if self.restarts < 1:
            raise SpecError(f"pgd: restarts must be at least 1, got {self.restarts}.")
        if self.step_size is not None and not 0.0 < self.step_size < float("inf"):
            raise SpecError(f"pgd: step_size must be positive, got {self.step_size:g}.")
        if not self.random_start and self.restarts > 1:
            raise SpecError(
                "pgd: restarts without a random start would all be the same; give one of them up."
            )
        if self.loss not in get_args(LossName):
            raise SpecError(f"pgd: there is no loss {self.loss!r}. {nearest(self.loss, get_args(LossName))}")
        if isinstance(self.target, str) and self.target not in NAMED_TARGETS:
            raise SpecError(f"pgd: there is no target {self.target!r}. {nearest(self.target, NAMED_TARGETS)}")
        if isinstance(self.target, SupportsIndex) and operator.index(self.target) < 0:
            raise SpecError(f"pgd: target must be a class, got {self.target}.")

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`.

        Args:
            model: pixels `(n, c, h, w)` to logits `(n, k)`; differentiated as it is.
            x: clean images in [0, 1].
            y: labels, `(n,)`.
            threat: the ball to stay in.
            draws: the images' random streams.

        Returns:
            Each image's best iterate and what it cost.
        """
        best = Best.nothing(model, x, self._goal if self.early_stop else NEVER)
        rows = torch.arange(len(x), device=x.device)
        everything = Images(rows, x, y, self._rival(model, x, y, best))
        for restart in range(self.restarts):
            wanted = best.still_wanted(everything.rows)
            images = everything if wanted is None else everything.take(wanted)
            if len(images.rows) == 0:
                break
            start = images.x
            if self.random_start:
                start = threat.random_point(images.x, draws.take(images.rows).stream(restart))
            self._climb(model, start, images, threat, best)
        return Attempt(best.x_adv, best.steps, best.queries, best.flat, best.late_gain, best.losses)

    def _climb(self, model: Model, x_adv: Tensor, images: Images, threat: Threat, best: Best) -> None:
        """One restart; `best` takes what it finds."""
        step_size = self.step_size_for(threat)
        for _ in range(self.steps):
            logits, loss, grad = loss_and_gradient(model, x_adv, partial(self._loss_of_a_piece, images))
            best.offer(images.rows, x_adv, self._rank(logits, images), loss, grad)
            x_adv = threat.project(x_adv.add(threat.steepest(grad), alpha=step_size), images.x)
            wanted = best.still_wanted(images.rows)
            if wanted is not None:
                x_adv, images = x_adv[wanted], images.take(wanted)
                if len(x_adv) == 0:
                    return
        with torch.no_grad():
            logits = model(x_adv)
        best.offer(images.rows, x_adv, self._rank(logits, images), self._loss(logits, images))

    def step_size_for(self, threat: Threat) -> float:
        """The step that is taken, in pixel units."""
        if self.step_size is not None:
            return self.step_size
        return 2.5 * threat.eps / self.steps if self.steps > 1 else threat.eps

    @property
    def _goal(self) -> int:
        """The rank at which an image has fallen for good."""
        return 1 if self.target is None else 2

    def _rank(self, logits: Tensor, images: Images) -> Tensor:
        """0 still right, 1 misclassified, 2 classified as the target; `(m,)`."""
        prediction = predict(logits)
        wrong = fooled(prediction, images.y).long()
        return wrong if self.target is None else wrong + (prediction == images.rival).long()

    def _loss_of_a_piece(self, images: Images, logits: Tensor, piece: slice) -> Tensor:
        return self._loss(logits, images.take(piece))

    def _loss(self, logits: Tensor, images: Images) -> Tensor:
        if self.loss == "logit-difference":
            return logit_difference(logits, images.y, images.rival)
        against = AGAINST_A_CLASS[self.loss]
        return against(logits, images.y) if self.target is None else -against(logits, images.rival)

    @torch.no_grad()
    def _rival(self, model: Model, x: Tensor, y: Tensor, best: Best) -> Tensor:
        """The class that each image is driven to, `(n,)`; the label itself where the loss names none."""
        if self.target is None and self.loss != "logit-difference":
            return y
        best.book(torch.arange(len(x), device=x.device))
        others = without(model(x), y)
        runner_up = others.argmax(1)
        if self.target == "least-likely":
            return others.masked_fill(others == -torch.inf, torch.inf).argmin(1)
        if self.target is None or isinstance(self.target, str):
            return runner_up
        target = operator.index(self.target)
        if target >= others.shape[1]:
            raise SpecError(f"pgd: target must be a class below {others.shape[1]}, got {target}.")
        return torch.where(y == target, runner_up, target)


def fgsm(*, loss: LossName = "ce", target: Target | None = None) -> PGD:
    """Fast gradient sign method: one step of length eps from the image itself.

    Goodfellow, Shlens, Szegedy 2015, section 4; in L2 the step follows the gradient's direction.

    Args:
        loss: as PGD's.
        target: as PGD's.
    """
    return PGD(steps=1, random_start=False, loss=loss, target=target)
