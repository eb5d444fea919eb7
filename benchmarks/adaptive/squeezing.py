"""A detector that compares the answers to an image and to the image squeezed (feature squeezing)."""

import torch
from torch import Tensor, nn

from benchmarks.adaptive.ascent import Classifier, margin, standing
from benchmarks.adaptive.digits import plain_network, spared
from benchmarks.adaptive.line import Line

FPR = 0.05
LEVELS = 3


class Squeezing:
    """`|softmax f(x) - softmax f(s(x))|_1`, with `s` rounding to a few levels.

    Args:
        model: the classifier.
    """

    def __init__(self, model: Classifier) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        """Scores, `(n,)`."""
        squeezed = x + (_round(x) - x).detach()  # straight through: this detector does not hide its gradient
        return (self.model(x).softmax(1) - self.model(squeezed).softmax(1)).abs().sum(1)


def _round(x: Tensor) -> Tensor:
    return (x * (LEVELS - 1)).round() / (LEVELS - 1)


def squeezing(model: Classifier) -> Squeezing:
    """The detector of a classifier."""
    return Squeezing(model)


def threshold(score: Squeezing) -> float:
    """The least score beyond which at most 5 % of the images lie that nobody attacks."""
    with torch.no_grad():
        scores = score(spared()).sort().values
    return float(scores[len(scores) - 1 - int(FPR * len(scores))])


def network() -> nn.Module:
    """The classifier."""
    return plain_network()


def against_detector(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Raise the margin until the image is wrong, then lower its score (Carlini, Wagner 2017)."""
    model: Classifier = plain_network()
    score = Squeezing(model)
    limit = threshold(score)

    def loss(x_adv: Tensor) -> Tensor:
        squeezed = x_adv + (_round(x_adv) - x_adv).detach()
        wrong = torch.minimum(margin(model(x_adv), y), margin(model(squeezed), y))
        return torch.where(wrong < 2.0, wrong, wrong.detach() - 10 * score(x_adv))

    def stands(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            return (model(x_adv).argmax(1) == y) | (score(x_adv) > limit)

    clean = model(x).argmax(1) == y
    return standing(loss, stands, x, eps) & clean & (score(x) <= limit)


LINE = Line(
    name="feature squeezing",
    kind="detector",
    paper="Xu, Evans, Qi 2018",
    options="--model benchmarks.adaptive.squeezing:network "
    f"--detector benchmarks.adaptive.squeezing:squeezing --fpr {FPR} --substitute exact "
    "--attack pgd:loss=margin --restarts 5 --gradient-free square:queries=100",
    adaptive=against_detector,
    right=("masked",),
    eps=0.2,
)
