"""What a table says of a detector: where it refuses, how that was fixed, and what it would prove."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isclose
from typing import Final

from advbench.results.records import Rate, Rung

USUAL_FPR: Final = 0.05
"""The share of clean images that a detector may refuse where nobody says otherwise."""


KNOWING: Final[Mapping[Rung, str]] = {
    "shattered": "attacks along the detector's own gradient",
    "bpda": "attacks with BPDA through the detector",
    "gradient_free": "gradient-free attacks on both",
    "label_only": "label-only attacks on both",
}
"""The rungs whose attacks know the detector."""

ROUNDING: Final = 1e-4
"""How far, relative to it, another machine's rounding may move a threshold."""

_BY_ROUNDING: Final = 2  # images that it may refuse more or fewer by that


@dataclass(frozen=True, kw_only=True)
class Detecting:
    """Where a detector refuses, as it was fixed on clean images.

    Args:
        name: of the detector.
        threshold: scores above it are refused.
        fpr: the share of clean images that it was fixed for; None where the threshold is its own.
        refused: how many of the clean images that were looked at it refuses.
        n: clean images that were looked at.
        attacked: whether these were the run's own images, because the data set had too few others.
    """

    name: str
    threshold: float
    fpr: float | None
    refused: int
    n: int
    attacked: bool = False

    @property
    def sentence(self) -> str:
        """Where it refuses, and how that was fixed."""
        images = "clean images of the run" if self.attacked else "clean images that are not attacked"
        how = "its own threshold" if self.fpr is None else f"fixed at a false positive rate of {self.fpr:g}"
        rate = "; the table holds at the detector's own rate" if self.fpr is None else ""
        few = self.fpr is not None and self.refused < floor(self.fpr * self.n + 1e-9)
        rate += ", fewer than that rate allows, since many of their scores are equal" if few else ""
        return (
            f"detector {self.name} refuses scores above {self.threshold:.6g}, {how}: {self.refused} of "
            f"{self.n} {images}{rate}"
        )


def unaware(rung: Rung, fell: int, left: int) -> str:
    """What says that a detector stops those examples alone that were made without it.

    Args:
        rung: which knows the detector.
        fell: how many images it fells of those that such examples left.
        left: how many they left.
    """
    return (
        f"robust only while the attack does not know the detector: {KNOWING[rung]} fell {fell} of the {left} "
        "images that examples made on the classifier alone left"
    )


def same_thresholds(measured: Sequence[Detecting], recorded: Sequence[Detecting]) -> bool:
    """Whether detectors refuse where a run says, up to the rounding of another machine."""
    return len(measured) == len(recorded) and all(
        isclose(one.threshold, other.threshold, rel_tol=ROUNDING, abs_tol=ROUNDING)
        and abs(one.refused - other.refused) <= _BY_ROUNDING
        and (one.name, one.fpr, one.n, one.attacked) == (other.name, other.fpr, other.n, other.attacked)
        for one, other in zip(measured, recorded, strict=True)
    )


def implied(rates: Sequence[tuple[Rung, Rate]], norm: str, eps: str) -> str:
    """What classifier a row's numbers would imply, in a sentence; empty where nothing stands.

    A detector that is right or refuses everywhere within `eps` makes a classifier that is right everywhere
    within `eps / 2`, at the price of a search that nobody can run (Tramer 2022, theorem 4).

    Args:
        rates: of the rungs of a row that were attacked, with their names.
        norm: the threat's.
        eps: the threat's radius as it was written.
    """
    half = _half(eps)
    if not rates or not half:
        return ""
    _, least = min(rates, key=lambda named: named[1].count)
    if least.count == 0:
        return ""
    return (
        f"if the {100 * least.accuracy:.1f} % that stand behind the detector stood against every attack at "
        f"{norm} eps {eps}, there would be a classifier, though none that can be run, that keeps as much at "
        f"eps {half} without refusing (Tramer 2022): a known classifier that does makes this one superfluous"
    )


def _half(eps: str) -> str:
    """Half of a radius in the form that it was written in; empty where it is no number."""
    head, slash, tail = eps.partition("/")
    try:
        return f"{float(head) / 2:g}{slash}{tail}" if head.strip() != "inf" else ""
    except ValueError:
        return ""
