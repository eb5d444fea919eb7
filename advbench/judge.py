"""Verdicts of a model on images, taken afresh and apart from any attack."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.threat import Threat

UNDECIDED = -1
"""The prediction where logits are NaN: no class, and never evidence of an adversarial example."""


class Judgement(NamedTuple):
    """What the judge found, each `(n,)`."""

    prediction: Tensor
    robust: Tensor
    distance: Tensor
    loss: Tensor


def predict(logits: Tensor) -> Tensor:
    """The most likely class, `(n,)`, or `UNDECIDED` where a row of `logits` `(n, k)` holds a NaN."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), UNDECIDED)


def fooled(prediction: Tensor, y: Tensor) -> Tensor:
    """Whether each prediction is a class other than the label, `(n,)` bool."""
    return (prediction != y) & (prediction != UNDECIDED)


@torch.no_grad()
def judge(logits: Tensor, x_adv: Tensor, x: Tensor, y: Tensor, threat: Threat) -> Judgement:
    """Judge what an attack returned, by the logits of a fresh forward pass of the defended model.

    An image counts as fallen only if its example is finite, in [0, 1], in the ball and misclassified;
    the claim of the attack is never asked for.

    Args:
        logits: of the defended model at `x_adv`, `(n, k)`.
        x_adv: the images judged, `(n, c, h, w)`; `x` itself on the clean rung.
        x: clean images, same shape.
        y: labels, `(n,)`.
        threat: the ball that binds the attack.
    """
    prediction = predict(logits)
    fallen = fooled(prediction, y) & threat.contains(x_adv, x)
    loss = F.cross_entropy(logits.float(), y, reduction="none")
    return Judgement(prediction, ~fallen, threat.distance(x_adv, x), loss)
