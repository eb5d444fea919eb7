"""Which normalisation a network was trained with, told by its clean accuracy under each that is usual.

A wrong one often costs little clean accuracy and all of the robust one, so that a choice is made only where
one wins clearly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advbench.models.registry import IMAGENET, PIXELS, Normalization
from advbench.results.statistics import count_pairs, tango_interval

NormalizationName = Literal["none", "dataset", "half", "imagenet", "255"]
NAMES: Final[tuple[NormalizationName, ...]] = get_args(NormalizationName)

HALF: Final = Normalization((0.5,), (0.5,))
BYTES: Final = Normalization((0.0,), (1 / 255,))
"""No normalisation but pixels from 0 to 255."""

_Z: Final = 3.1  # standard deviations: 99.8 %, as a sample is looked at up to eleven times
_LEAST: Final = 0.02  # a wrong normalisation can sharpen a robust network by less than this
_ABOVE_CHANCE: Final = 0.15
_LOUDER: Final = 10.0
_LEAST_LOSS: Final = 0.05  # nats: tenfold of a loss near zero is nothing
_SAME: Final = 1e-3

BoolArray = npt.NDArray[np.bool_]


@dataclass
class Answers:
    """What a network said of a sample of images under one normalisation.

    Args:
        predictions: one an image so far.
        losses: their cross-entropy in nats.
    """

    predictions: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def add(self, logits: Tensor, y: Tensor) -> None:
        """Take the answers to a few more images, logits `(n, k)` and labels `(n,)`."""
        whole = logits.double()
        self.predictions += torch.where(whole.isnan().any(1), -1, whole.argmax(1)).tolist()
        self.losses += cross_entropy(whole, y, reduction="none").tolist()

    def right(self, labels: Sequence[int]) -> BoolArray:
        """Which of the images it has seen are right, `(n,)`."""
        return np.equal(self.predictions, labels[: len(self.predictions)])


class Standing(NamedTuple):
    """Which candidates are left.

    Args:
        best: the one with the highest accuracy.
        near: it and all others that the sample cannot rule out, the best first.
        at_chance: whether even the best is no better than guessing, so that nothing can be told.
    """

    best: NormalizationName
    near: tuple[NormalizationName, ...]
    at_chance: bool


def named(name: NormalizationName, dataset: Normalization) -> Normalization:
    """The constants of a name; `dataset` are the data set's."""
    table: dict[NormalizationName, Normalization] = {
        "none": PIXELS,
        "dataset": dataset,
        "half": HALF,
        "imagenet": IMAGENET,
        "255": BYTES,
    }
    return table[name]


def candidates(dataset: Normalization, channels: int) -> dict[NormalizationName, Normalization]:
    """The usual normalisations that fit images of so many channels; equal ones once, by their first name."""
    normalizations: dict[NormalizationName, Normalization] = {}
    for name in NAMES:
        constants = named(name, dataset)
        if len(constants.mean) in (1, channels) and constants not in normalizations.values():
            normalizations[name] = constants
    return normalizations


def same_function(one: Tensor, other: Tensor) -> bool:
    """Whether logits `(n, k)` differ by one positive factor and a constant an image: the same decisions.

    The logits of a network that normalises each image by itself do not change with the constants before it.
    """
    if not bool(one.isfinite().all() and other.isfinite().all()):
        return False
    a, b = (curve.double() - curve.double().mean(1, keepdim=True) for curve in (one, other))
    norms = float(a.norm()), float(b.norm())
    if min(norms) == 0.0:
        return norms[0] == norms[1]
    return float((a / norms[0] - b / norms[1]).norm()) < _SAME


def standing_of(answers: Mapping[NormalizationName, Answers], labels: Sequence[int]) -> Standing:
    """Which candidates a sample of images leaves.

    One is ruled out where another is better by more than two points as far as a paired interval of 3.1
    standard deviations tells (Tango 1998). Where a network has learnt no biases, pixels from 0 to 255 give
    the predictions of those from 0 to 1 with logits 255 times as large: `255` is ruled out too where another
    is about as good at a tenth of its cross-entropy, which no training would have left.

    Args:
        answers: what the network said under each; of the first images where one was ruled out earlier.
        labels: of all images.
    """
    right = {name: answer.right(labels) for name, answer in answers.items()}
    best = max(right, key=lambda name: float(right[name].mean()))
    near = [name for name in right if not clearly_better(right[best], right[name])]
    if "255" in near and any(
        _louder(answers["255"], answers[name]) and not clearly_better(right["255"], right[name])
        for name in near
        if name != "255"
    ):
        near.remove("255")
        best = max(near, key=lambda name: float(right[name].mean()))
    chance = 1 / max(1, len(set(labels)))
    return Standing(
        best=best,
        near=(best, *(name for name in near if name != best)),
        at_chance=float(right[best].mean()) <= chance + _ABOVE_CHANCE,
    )


def clearly_better(one: BoolArray, other: BoolArray) -> bool:
    """Whether the first accuracy is higher by more than two points, on the images that both have seen.

    Args:
        one: which images are right, `(n,)`.
        other: likewise; where one of the two is longer, of its first images.
    """
    n = min(len(one), len(other))
    pairs = count_pairs(one[:n], other[:n])
    return tango_interval(pairs.only_first, pairs.only_second, n, _Z).low > _LEAST


def _louder(one: Answers, other: Answers) -> bool:
    n = min(len(one.losses), len(other.losses))
    return float(np.mean(one.losses[:n])) >= _LOUDER * max(float(np.mean(other.losses[:n])), _LEAST_LOSS)
