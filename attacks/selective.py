"""Attacks on a classifier and its detector that follow one of the two at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from advbench.defended.detector import Detector, joint_logits, refused_by
from advbench.defended.gradient import Model, loss_and_gradient
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.errors import SpecError
from advbench.threat.attack import Attempt
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import margin
from advbench.threat.norms import l2_norm
from advbench.threat.threat import Threat

from .best import Best
from .pgd import PGD


@dataclass(frozen=True, kw_only=True)
class Selective:
    """Projected gradient descent that follows the classifier while it is right, and else the detector.

        grad = grad m      while the classifier predicts the label, m its margin
             = -grad e     while it predicts another class, e how far the score is beyond its threshold

    Bryniarski, Hingun, Pachuca, Wang, Carlini 2022, "Evading adversarial example detection defenses with
    orthogonal projected gradient descent", section 4. With `orthogonal` each gradient loses its part along
    the other one, so that a step against one of the two does not undo what was done against the other; that
    takes two passes a step. Behind a defense without a detector it is PGD on the margin. Differs from theirs:
    without a target; and the best iterate is kept by the joint margin.

    Args:
        steps: gradient steps a restart.
        step_size: in pixel units; by default 2.5 * eps / steps.
        restarts: random starts, each for the images that still stand.
        orthogonal: whether a gradient loses its part along the other.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True
    tells_rows: ClassVar[bool] = True

    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    orthogonal: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise SpecError(f"selective: {name} must be at least 1, got {getattr(self, name)}.")
        if self.step_size is not None and not 0.0 < self.step_size < float("inf"):
            raise SpecError(f"selective: step_size must be positive, got {self.step_size:g}.")

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`, all of one label where the model may refuse; see `Attack`."""
        if not isinstance(model, DefendedModel) or not model.detectors:
            return self._of_a_classifier(model, x, y, threat, draws)
        best, both = Best.nothing(model, x, goal=1), _Both(model.with_scores(), model.detectors, int(y[0]))
        rows = torch.arange(len(x), device=x.device)
        for restart in range(self.restarts):
            wanted = best.still_wanted(rows)
            left = rows if wanted is None else rows[wanted]
            if len(left) == 0:
                break
            start = threat.random_point(x[left], draws.take(left).stream(restart))
            self._climb(both, start, (left, x[left]), threat, best)
        return Attempt(best.x_adv, best.steps, best.queries, best.flat, best.late_gain, best.losses)

    def _of_a_classifier(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        plain = PGD(steps=self.steps, step_size=self.step_size, restarts=self.restarts, loss="margin")
        return plain(model, x, y, threat, draws)

    def _climb(
        self, both: "_Both", x_adv: Tensor, images: tuple[Tensor, Tensor], threat: Threat, best: Best
    ) -> None:
        """One restart; `best` takes what it finds."""
        rows, x = images
        for _ in range(self.steps):
            outputs, _, grad = loss_and_gradient(both.model, x_adv, both.followed)
            best.offer(rows, x_adv, both.rank(outputs), both.loss(outputs), grad)
            if self.orthogonal:
                _, _, other = loss_and_gradient(both.model, x_adv, partial(both.followed, other=True))
                best.book(rows, other)
                grad = without_part(grad, other)
            step_size = self.step_size_for(threat)
            x_adv = threat.project(x_adv.add(threat.steepest(grad), alpha=step_size), x)
            wanted = best.still_wanted(rows)
            if wanted is not None:
                rows, x, x_adv = rows[wanted], x[wanted], x_adv[wanted]
                if len(rows) == 0:
                    return
        with torch.no_grad():
            outputs = both.model(x_adv)
        best.offer(rows, x_adv, both.rank(outputs), both.loss(outputs))

    def step_size_for(self, threat: Threat) -> float:
        """The step that is taken, in pixel units."""
        return 2.5 * threat.eps / self.steps if self.step_size is None else self.step_size


def orthogonal(*, steps: int = 40, step_size: float | None = None, restarts: int = 1) -> Selective:
    """Orthogonal projected gradient descent; see `Selective`.

    Args:
        steps: as Selective's.
        step_size: as Selective's.
        restarts: as Selective's.
    """
    return Selective(steps=steps, step_size=step_size, restarts=restarts, orthogonal=True)


class _Both(NamedTuple):
    """A model that tells its scores beside its logits, `(n, k + detectors)`, and the label of its images."""

    model: DefendedModel
    detectors: Mapping[int, Detector]
    label: int

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        k = outputs.shape[1] - len(self.detectors)
        return outputs[:, :k], outputs[:, k:]

    def followed(self, outputs: Tensor, _piece: slice, *, other: bool = False) -> Tensor:
        """What a step climbs, `(n,)`: the classifier's margin, or down the score; or the `other` one."""
        logits, scores = self._split(outputs)
        y = self._labels(outputs)
        beyond = [detector.excess(scores[:, place]) for place, detector in enumerate(self.detectors.values())]
        follows_score = fooled(predict(logits.detach()), y) ^ other
        return torch.where(follows_score, -torch.stack(beyond, dim=1).amax(1), margin(logits, y))

    def rank(self, outputs: Tensor) -> Tensor:
        """1 where an example is accepted and wrong, `(n,)`."""
        logits, scores = self._split(outputs)
        accepted = ~refused_by(list(self.detectors.values()), scores)
        return (fooled(predict(logits), self._labels(outputs)) & accepted).long()

    def loss(self, outputs: Tensor) -> Tensor:
        """The joint margin, by which iterates are ranked, `(n,)`."""
        logits, scores = self._split(outputs)
        joint = joint_logits(list(self.detectors.values()), logits, scores, self.label)
        return margin(joint, self._labels(outputs))

    def _labels(self, outputs: Tensor) -> Tensor:
        return torch.full((len(outputs),), self.label, dtype=torch.int64, device=outputs.device)


def without_part(grad: Tensor, other: Tensor) -> Tensor:
    """A gradient without its part along another one, `(n, c, h, w)`; as it is where the other vanishes."""
    shape = (-1, *[1] * (grad.dim() - 1))
    unit = other.nan_to_num() / l2_norm(other.nan_to_num()).clamp_min(_TINY).view(shape)
    along = (grad.nan_to_num() * unit).flatten(1).sum(1).view(shape)
    return grad.nan_to_num() - along * unit


_TINY = 1e-30
