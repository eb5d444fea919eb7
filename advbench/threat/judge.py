"""Verdicts of a model on images, taken afresh and apart from any attack."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.results.judging import Judge
from advbench.results.records import REFUSED, UNDECIDED
from advbench.threat.threat import Threat


class Judgement(NamedTuple):
    """What the judge found, each `(n,)`."""

    prediction: Tensor
    robust: Tensor
    distance: Tensor
    loss: Tensor
    fooled_share: Tensor
    """Share of the draws of a random defense in which the image fools it; 0 or 1 where nothing is random."""


class Vote(NamedTuple):
    """What several draws come to, each `(n,)`."""

    prediction: Tensor
    """The most frequent class on the side that decides."""
    fooled_share: Tensor
    fooled: Tensor
    """Whether the draws come to another class than the label, bool."""
    wrong: Tensor
    """In how many of the draws that decide the image fools."""


def predict(logits: Tensor) -> Tensor:
    """The most likely class, `(n,)`, or `UNDECIDED` where a row of `logits` `(n, k)` holds a NaN."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), UNDECIDED)


def predictions_of(logits: Tensor, refused: Tensor | None = None) -> Tensor:
    """The class in each draw, `(draws, n)`, or `UNDECIDED`; `REFUSED` where a detector refuses.

    Args:
        logits: `(draws, n, k)`.
        refused: `(draws, n)` bool; None where there is no detector.
    """
    predictions = torch.stack([predict(logit) for logit in logits])
    return predictions if refused is None else predictions.masked_fill(refused, REFUSED)


def fooled(prediction: Tensor, y: Tensor) -> Tensor:
    """Whether each prediction is a class other than the label, `(n,)` bool; what is refused has none."""
    return (prediction != y) & (prediction != UNDECIDED) & (prediction != REFUSED)


def vote(predictions: Tensor, y: Tensor, rule: Judge | None = None, *, clean: bool = False) -> Vote:
    """What several draws come to: by the majority an image is fooled if more than half of its draws are.

    Args:
        predictions: a row a draw, `(draws, n)`, as `predict` gives them.
        y: labels, `(n,)`.
        rule: how they count, of `rule.passes` draws; the majority of all by default.
        clean: whether these are clean images, of which one without a class is wrong too.
    """
    wrong = predictions != y if clean else fooled(predictions, y)
    share = (wrong if rule is None else wrong[: rule.draws]).float().mean(0)
    fell = share > _HALF
    if rule is not None and rule.kind == "any":
        predictions, wrong = predictions[: rule.submissions], wrong[: rule.submissions]
        fell = wrong.any(0)
    side = wrong == fell
    lowest = min(UNDECIDED, int(predictions.min()))
    places = (predictions - lowest).T
    counts = torch.zeros(len(y), int(places.max()) + 1, dtype=torch.int64, device=y.device)
    counts.scatter_add_(1, places, side.long().T)
    return Vote(counts.argmax(1) + lowest, share, fell, wrong.sum(0))


@torch.no_grad()
def judge(
    logits: Tensor,
    x_adv: Tensor,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    rule: Judge | None = None,
    clean: bool = False,
    refused: Tensor | None = None,
) -> Judgement:
    """Judge what an attack returned, by the logits of a fresh forward pass of the defended model.

    An image counts as fallen only if its example is finite, in [0, 1], in the ball, accepted and
    misclassified, behind a random defense in the majority of its draws or as another rule says; the claim of
    the attack is never asked for.

    Args:
        logits: of the defended model at `x_adv`, `(draws, n, k)`; a single draw where nothing is random.
        x_adv: the images judged, `(n, c, h, w)`; `x` itself on the clean rung.
        x: clean images, same shape.
        y: labels, `(n,)`.
        threat: the ball that binds the attack.
        rule: how the draws count; the majority by default, and where there is a single draw.
        clean: whether `x_adv` is `x` itself, where an answer without a class is no right one.
        refused: which images a detector refuses, `(draws, n)` bool; None where there is none.
    """
    rule = rule if len(logits) > 1 else None
    prediction, share, fell, _ = vote(predictions_of(logits, refused), y, rule, clean=clean)
    fallen = fell & threat.contains(x_adv, x)
    loss = mean_loss(logits if rule is None else logits[: rule.draws], y)
    return Judgement(prediction, ~fallen, threat.distance(x_adv, x), loss, share)


def mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    """The mean cross-entropy over draws `(draws, n, k)`, `(n,)`."""
    return torch.stack([F.cross_entropy(logit.float(), y, reduction="none") for logit in logits]).mean(0)


_HALF = 0.5
