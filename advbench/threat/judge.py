"""Verdicts of a model on images, taken afresh and apart from any attack."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.threat.threat import Threat

UNDECIDED = -1
"""The prediction where logits are NaN: no class, and never evidence of an adversarial example."""


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
    """The most frequent class on the side of the majority."""
    fooled_share: Tensor


def predict(logits: Tensor) -> Tensor:
    """The most likely class, `(n,)`, or `UNDECIDED` where a row of `logits` `(n, k)` holds a NaN."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), UNDECIDED)


def fooled(prediction: Tensor, y: Tensor) -> Tensor:
    """Whether each prediction is a class other than the label, `(n,)` bool."""
    return (prediction != y) & (prediction != UNDECIDED)


def vote(predictions: Tensor, y: Tensor) -> Vote:
    """The majority of several draws: an image is fooled if more than half of its draws are.

    Args:
        predictions: a row a draw, `(draws, n)`, as `predict` gives them.
        y: labels, `(n,)`.
    """
    wrong = fooled(predictions, y)
    share = wrong.float().mean(0)
    side = wrong == (share > _HALF)
    places = (predictions - UNDECIDED).T
    counts = torch.zeros(len(y), int(places.max()) + 1, dtype=torch.int64, device=y.device)
    counts.scatter_add_(1, places, side.long().T)
    return Vote(counts.argmax(1) + UNDECIDED, share)


@torch.no_grad()
def judge(logits: Tensor, x_adv: Tensor, x: Tensor, y: Tensor, threat: Threat) -> Judgement:
    """Judge what an attack returned, by the logits of a fresh forward pass of the defended model.

    An image counts as fallen only if its example is finite, in [0, 1], in the ball and misclassified, behind
    a random defense in the majority of its draws; the claim of the attack is never asked for.

    Args:
        logits: of the defended model at `x_adv`, `(draws, n, k)`; a single draw where nothing is random.
        x_adv: the images judged, `(n, c, h, w)`; `x` itself on the clean rung.
        x: clean images, same shape.
        y: labels, `(n,)`.
        threat: the ball that binds the attack.
    """
    prediction, share = vote(torch.stack([predict(logit) for logit in logits]), y)
    fallen = (share > _HALF) & threat.contains(x_adv, x)
    return Judgement(prediction, ~fallen, threat.distance(x_adv, x), mean_loss(logits, y), share)


def mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    """The mean cross-entropy over draws `(draws, n, k)`, `(n,)`."""
    return torch.stack([F.cross_entropy(logit.float(), y, reduction="none") for logit in logits]).mean(0)


_HALF = 0.5
