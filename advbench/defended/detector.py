"""A detector: a score that is higher the more suspicious an image is, and where it refuses.

It stands in a chain like a defense, at the place whose values it reads, and changes none of them. An attack
succeeds where an example is accepted and wrong, so what an attack sees are joint logits in which refusing
counts as right; the judge never sees these, but compares score and threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import isclass, isroutine
from math import isfinite
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from advbench.defended.backward import Map, name_of
from advbench.defended.own_functions import MODEL, form_told, made_by, stands_for
from advbench.errors import DefenseError, SpecError
from advbench.names.grammar import Spec

SUBSTITUTES: Final = ("exact", "finite-difference", "learned")
"""What may stand in for a score in BPDA's backward pass; `learned` is a small network fitted to it."""

_MOST: Final = 0.5
_CAP: Final = 0.2  # of the clean margin: so far a refused image is driven beyond the boundary of its class
_WIDER: Final = (torch.float64, torch.int64, torch.int32)
_LOST: Final = 1e-3  # of the spread of scores, to rounding
_PENALTY: Final = 0.1  # of the clean margin, for a score that lies a spread beyond its threshold


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Where a detector refuses, and how much its score weighs beside logits; fixed on clean images.

    Args:
        threshold: scores above are refused.
        spread: how far the threshold lies above the median score of clean images.
        weight: the median margin of the logits of clean images.
    """

    threshold: float
    spread: float = 1.0
    weight: float = 1.0

    def excess(self, scores: Tensor) -> Tensor:
        """How far scores `(n,)` lie beyond the threshold, in spreads: positive where they are refused."""
        return (scores - self.threshold) / self.spread


@dataclass(frozen=True)
class Detector:
    """A score, larger where an image is more suspicious.

    Where it refuses is settled by the evaluation: so that it refuses `fpr` of some clean images, by default
    5 %, unless it has a threshold of its own.

    Args:
        score: a function or module from what it reads `(n, ...)` to scores `(n,)`; an attribute `threshold`
            is its own threshold. With `of_model` what makes such a function.
        fpr: the share of clean images that it may refuse; None for its own threshold, or 0.05.
        of_model: whether `score` is called with `model=`, the classifier, and returns the score.
        name: what messages and tables call it; by default as its function is called.
        settled: where it refuses; None until an evaluation has looked at clean images.

    Raises:
        DefenseError: nothing that can be called, or a share of more than a half.
    """

    score: Callable[..., Any]
    fpr: float | None = None
    of_model: bool = False
    name: str = ""
    settled: Settled | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.score):
            raise DefenseError(f"a detector must be a function on batches, got {self.score!r:.80}.")
        if self.fpr is not None and not 0.0 <= self.fpr <= _MOST:
            raise DefenseError(
                f"fpr must be the share of clean images that a detector may refuse, in [0, {_MOST:g}], got "
                f"{self.fpr:g}."
            )

    @property
    def __name__(self) -> str:
        """What messages and tables call it."""
        score = self.score.func if isinstance(self.score, partial) else self.score
        return self.name or name_of(score)

    @property
    def substitutes(self) -> tuple[str, ...]:
        """What may stand in for it: what its score lists, or else what is known for scores."""
        return tuple(getattr(self.score, "substitutes", SUBSTITUTES))

    @property
    def own_threshold(self) -> float | None:
        """The threshold that the score itself has.

        Raises:
            DefenseError: it is no finite number.
        """
        own = getattr(self.score, "threshold", None)
        if own is None:
            return None
        try:
            threshold = float(own)
        except (TypeError, ValueError, RuntimeError):
            threshold = float("nan")
        if not isfinite(threshold):
            raise DefenseError(
                f"the threshold of detector {self.__name__} must be a number, got {own!r:.60}."
            )
        return threshold

    def excess(self, scores: Tensor) -> Tensor:
        """How far scores `(n,)` lie beyond the threshold, in spreads; before that is settled, beyond 0."""
        return _settled(self).excess(scores)

    @property
    def settings(self) -> dict[str, Any]:
        """What it is, in words and numbers, for `run.json`."""
        given = self.score.keywords if isinstance(self.score, partial) else {}
        inner: Any = self.score.func if isinstance(self.score, partial) else self.score
        home = getattr(inner, "__module__", type(inner).__module__)
        words = {"class": f"{home}.{name_of(inner)}", "detector": True, **given}
        return words if self.fpr is None else {**words, "fpr": self.fpr}

    def bound(self, model: nn.Module) -> "Detector":
        """The detector of one classifier, where it needs to know which.

        Raises:
            SpecError: what makes it fails, or makes nothing that can be called.
        """
        if not self.of_model:
            return self
        made = made_by(partial(self.score, **{MODEL: model}), self.__name__, "detector")
        if not callable(made):
            raise SpecError(f"detector {self.__name__} must make a function on batches, got {made!r:.60}.")
        return replace(self, score=made, of_model=False, name=self.__name__)

    def __call__(self, x: Tensor) -> Tensor:
        """Scores, `(n, 1)`.

        Raises:
            DefenseError: something else than one score an image.
        """
        reads_arrays = form_told(self.score) == "array"
        scores: Any = self.score(x.detach().cpu().numpy() if reads_arrays else x)
        if isinstance(scores, np.ndarray):
            scores = torch.from_numpy(np.ascontiguousarray(scores))
        if not isinstance(scores, Tensor):
            raise DefenseError(
                f"detector {self.__name__} must return a tensor or an array, got {type(scores).__name__}."
            )
        if scores.numel() != len(x) or scores.dim() == 0 or len(scores) != len(x):
            raise DefenseError(
                f"detector {self.__name__} must return one score an image, ({len(x)},) for {len(x)} images, "
                f"got shape {tuple(scores.shape)}."
            )
        if self.settled is None:  # on clean images, before any attack
            _check_precision(self.__name__, scores)
        return scores.to(device=x.device, dtype=x.dtype).reshape(-1, 1)


def _check_precision(name: str, scores: Tensor) -> None:
    """See whether float32, in which a defended model computes, tells scores of more digits from each other.

    Raises:
        DefenseError: it does not; the detector would refuse other images than it does by itself.
    """
    if scores.dtype not in _WIDER or len(scores) < 2:  # a spread needs two
        return
    wide = scores.detach().double()
    spread, rounding = float(wide.std()), float((wide - wide.float().double()).abs().max())
    if rounding > _LOST * spread > 0.0:
        raise DefenseError(
            f"detector {name} gives scores about {float(wide.mean()):.3g} that differ by {spread:.3g}, which "
            "float32 cannot tell: take a constant away from them, or divide, before you return them."
        )


@dataclass(frozen=True)
class Column:
    """A substitute of a score, which may be `(n,)`, in the score's own shape `(n, 1)`."""

    substitute: Map

    @property
    def __name__(self) -> str:
        """What messages call it."""
        return name_of(self.substitute)

    def __call__(self, x: Tensor) -> Tensor:
        """What the substitute returns, as a column."""
        scores = self.substitute(x)
        return scores.reshape(-1, 1) if scores.numel() == len(x) else scores


def detector_of(thing: Any, spec: Spec) -> Detector:
    """What a user named as a detector: the score itself, or what makes it, with the spec's parameters.

    A class or function with a parameter `model` makes the score of a classifier; one that can be called
    without an argument makes the score; a function that needs an argument, and an object, is the score.

    Raises:
        SpecError: nothing that can be called, or parameters that it does not have.
    """
    if not callable(thing):
        raise SpecError(f"detector {spec.name!r} is no function or class, but {type(thing).__name__}.")
    is_made = isinstance(thing, nn.Module | Detector) or not (isclass(thing) or isroutine(thing))
    named = stands_for(thing, spec, "detector", is_made=is_made, takes_model=True)
    if isinstance(thing, Detector):
        return thing
    return Detector(named.function, of_model=named.of_model, name=named.maker)


def refused_by(detectors: Sequence[Detector], scores: Tensor) -> Tensor:
    """Which images one of the detectors refuses, `(..., n)` bool; a score that is NaN accepts nothing.

    Args:
        detectors: settled.
        scores: a column a detector, `(..., n, d)`.
    """
    accepted = [
        scores[..., place] <= _settled(detector).threshold for place, detector in enumerate(detectors)
    ]
    return ~torch.stack(accepted).all(0)


def check_scores(detectors: Sequence[Detector], scores: Tensor) -> None:
    """See whether the judge can tell what is refused.

    Args:
        detectors: which gave the scores.
        scores: a column a detector, `(..., n, d)`.

    Raises:
        DefenseError: a score is NaN. A detector that asks `score > threshold` accepts that image, and one
            that asks `not score <= threshold` refuses it.
    """
    for place, detector in enumerate(detectors):
        own = scores[..., place]
        if bool(own.isnan().any()):
            raise DefenseError(
                f"detector {detector.__name__} gives NaN for {int(own.isnan().sum())} of {own.numel()} "
                "images, which neither accepts nor refuses them: let it return a number "
                "(torch.nan_to_num(score, nan=torch.inf) where NaN refuses)."
            )


def joint_logits(detectors: Sequence[Detector], logits: Tensor, scores: Tensor, label: int) -> Tensor:
    """Logits of classifier and detectors together, in which to refuse an image of `label` is right, `(n, k)`.

    They are the classifier's where an image is accepted. Where it is refused, the label's is raised above all
    others, by more the further the score lies beyond the threshold:

        z'_label = max(z_label, max_{j != label} z_j - c) + c + 0.1 w log(1 + e),   c = 0.2 w
        e = max_i (s_i - threshold_i) / spread_i,   w the median margin of clean images

    So another class is predicted exactly where an example is accepted and wrong. The refusal is a class of
    its own that is joined with the label's, because an attack without a target must not be content with being
    refused; differs so from Carlini, Wagner 2017 ("Adversarial examples are not easily detected", the
    classifier G with a class N + 1). Along the margin of a refused image the classifier's margin grows up to
    `c` while the score falls: with the larger of the two alone, which is to follow one and then the other,
    PGD felled 1 of 37 images behind feature squeezing, with this sum 5. The logarithm keeps a score that is
    far beyond its threshold from being all that counts.
    """
    beyond = torch.stack(
        [detector.excess(scores[:, place]) for place, detector in enumerate(detectors)]
    ).amax(0)
    weight = max(_settled(detector).weight for detector in detectors)
    cap = _CAP * weight
    own = logits[:, label]
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1).amax(1)
    raised = torch.maximum(own, others - cap) + cap + _PENALTY * weight * beyond.clamp_min(0.0).log1p()
    right = torch.where(refused_by(detectors, scores), raised, own)
    return torch.cat([logits[:, :label], right[:, None], logits[:, label + 1 :]], dim=1)


def _settled(detector: Detector) -> Settled:
    """Where a detector refuses; before clean images were looked at, above 0."""
    return Settled(threshold=0.0) if detector.settled is None else detector.settled
