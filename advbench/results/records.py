"""What a run found, as plain records: one sample an image and rung, one row a line of the table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import pandas as pd

from advbench.results.statistics import Interval, PairedCounts

Rung = Literal["clean", "static", "shattered", "bpda", "gradient_free", "label_only", "worst"]
RUNGS: Final[tuple[Rung, ...]] = (
    "clean",
    "static",
    "shattered",
    "bpda",
    "gradient_free",
    "label_only",
    "worst",
)

ASKABLE: Final = RUNGS[1:]
"""All that an evaluation can be asked for; the clean images are always judged."""

LADDER: Final = tuple(rung for rung in ASKABLE if rung != "label_only")
"""What `--ladder` runs. `label_only` costs about as much as all gradient rungs together, and is asked for."""

SHARED: Final[tuple[Rung, ...]] = ("clean", "gradient_free", "label_only")
"""The rungs that belong to every attack of a defense."""

UNDEFENDED: Final = "none"

UNDECIDED: Final = -1
"""The prediction where logits are NaN: no class, and never evidence of an adversarial example."""

REFUSED: Final = -2
"""The prediction of an image that a detector refuses: no class, and no success of an attack."""

LOSS_MARKS: Final = tuple(2**power for power in range(11))
"""Gradient steps after which an attack's loss is kept, up to 1,024."""

LOSS_COLUMNS: Final = (*(f"loss_{mark}" for mark in LOSS_MARKS), "loss_end")

SAMPLE_TYPES: Final[Mapping[str, str]] = {
    "index": "int64",
    "label": "int64",
    "rung": "str",
    "defense": "str",
    "attack": "str",
    "clean_prediction": "int64",
    "prediction": "int64",
    "robust": "bool",
    "distance": "float64",
    "loss": "float64",
    "steps": "int64",
    "queries": "int64",
    "flat_gradient": "bool",
    "smallest": "float64",
    "fooled_share": "float64",
    "late_gain": "float64",
    **dict.fromkeys(LOSS_COLUMNS, "float64"),
}
"""Columns of `samples.parquet`. `attack` is empty on the clean rung; a prediction of -1 is none at all, and
one of -2 is a detector's, which refuses the image.

`smallest` is the norm of the smallest perturbation known to fool the defended model, whatever the radius, and
NaN where none is; `fooled_share` is the share of a random defense's draws in which the example fools it.
`late_gain` is the share of the loss's whole rise that came in an attack's last 10 gradient steps.
`loss_1`, `loss_2`, `loss_4` and so on up to `loss_1024` are what the attack climbs: its own loss at its best
iterate after so many of its gradient passes, NaN where it took fewer, and `loss_end` where it ended; all NaN
where an attack does not tell. `loss` is the cross-entropy that the judge found.
"""


@lru_cache(maxsize=4096)  # tables ask for the same few again and again
def wilson_interval(count: float, n: int, z: float = 1.959963984540054) -> Interval:
    """Wilson's score interval of `count` successes in `n` trials (Wilson 1927), 95 % by default.

    `(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`. It stays inside [0, 1] and keeps its width
    at 0 and n, where the textbook interval collapses. A sum of n shares in [0, 1] may stand for the count:
    shares of a mean p vary by `p(1-p)` at most, as much as successes do, so the interval is wide enough.
    """
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"need 0 <= count <= n and n > 0, got {count} of {n}")
    p = count / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if count == 0 else (centre - spread) / scale
    high = 1.0 if count == n else (centre + spread) / scale
    return Interval(low, high)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a search for substitutes found out about one of them, on its calibration images.

    Args:
        defense: the defense as it was written.
        substitute: its name; of a chain, one an element, with '+' between them.
        n: images that the defended model gets right.
        standing: how many of them a short attack along its gradients left; None where it does not fit.
        agreement: cosine between the loss's differences along random directions and those that its gradient
            foretells, in [-1, 1]; None where either is zero or it does not fit.
        steps: of the short attack.
        rank: 1 for the best, 2 for the one that fells most of what the best leaves, 0 for the others.
        note: why it does not fit.
    """

    defense: str
    substitute: str
    n: int = 0
    standing: int | None = None
    agreement: float | None = None
    steps: int = 0
    rank: int = 0
    note: str = ""


class Spread(NamedTuple):
    """Mean and standard deviation of the accuracy over single draws of a random defense."""

    mean: float
    deviation: float


class Refused(NamedTuple):
    """What a detector makes of the images of a rung: of the clean ones, or of the examples."""

    images: int
    """Those that it refuses."""
    accepted_right: int
    """Images that it accepts and that are right."""


@dataclass(frozen=True)
class OverDraws:
    """What the draws of a random defense come to, where it is judged by another rule than the majority.

    Args:
        mean: the share of its draws in which an image stands, on average over all images.
        n: all images, which are the unit of both intervals.
        unbroken: images that stand in every submission of their example; None on the clean rung, where
            nobody submits anything again.
    """

    mean: float
    n: int
    unbroken: int | None = None

    @property
    def interval(self) -> Interval:
        """The mean's 95 % interval: Wilson's, of shares."""
        return wilson_interval(self.mean * self.n, self.n)

    @property
    def any_accuracy(self) -> float | None:
        """The fraction that stands in every submission."""
        return None if self.unbroken is None else self.unbroken / self.n

    @property
    def any_interval(self) -> Interval | None:
        """Its 95 % Wilson interval."""
        return None if self.unbroken is None else wilson_interval(self.unbroken, self.n)


@dataclass(frozen=True)
class Rate:
    """How many of `n` images a rung left standing.

    Args:
        count: the images, by the majority of their draws where the defense is random.
        n: all images.
        spread: what single draws of a random defense come to.
        median: the median norm of the smallest perturbations known to fool, over all images (0 where the
            clean one is misclassified), where an attack looked for these and has found half of them.
        refused: what a detector refuses of them; None where there is none.
        over_draws: what the draws come to by another rule than the majority.
    """

    count: int
    n: int
    spread: Spread | None = None
    median: float | None = None
    refused: Refused | None = None
    over_draws: OverDraws | None = None

    @property
    def accepted_accuracy(self) -> float | None:
        """Which part of the accepted images is right; None without a detector, or where it accepts none."""
        if self.refused is None or self.refused.images == self.n:
            return None
        return self.refused.accepted_right / (self.n - self.refused.images)

    @property
    def accuracy(self) -> float:
        """The fraction, in [0, 1]."""
        return self.count / self.n

    @property
    def interval(self) -> Interval:
        """Its 95 % Wilson interval."""
        return wilson_interval(self.count, self.n)


class SoFar(NamedTuple):
    """How far a rung has come in a run that is under way: images that are done, and those that stand."""

    done: int
    standing: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a model behind a defense under a threat and an attack.

    Args:
        model: the model's name.
        dataset: the data set's name.
        n: images that were evaluated.
        defense: the defense as it was written, or `none`.
        norm: the threat's norm.
        eps: the threat's radius as it was written.
        attack: the attack as it was written.
        rates: what each rung that was run left standing; a wrongly classified clean image does not stand.
        reasons: why a rung is missing that other rows have.
        substitute: what stood in for the defense in the bpda rung; empty where there was none.
        pairs: the shattered rung against each other rung that was attacked, image by image.
        verdict: empty until a ladder has been climbed.
        advice: what would mend or confirm the verdict.
        warnings: what makes the row's numbers less than they seem, a sentence each.
        notes: how the model was understood, where that had to be found out, a sentence each.
        error: why there are no numbers at all; empty where there are.
        pending: the rungs of a run under way whose images are not all done; these have no rates.
        judge: by which rule its random defense was judged; empty for the majority, and where none is random.
    """

    model: str
    dataset: str
    n: int
    defense: str
    norm: str
    eps: str
    attack: str
    rates: Mapping[Rung, Rate]
    reasons: Mapping[Rung, str] = field(default_factory=dict)
    substitute: str = ""
    pairs: Mapping[Rung, PairedCounts] = field(default_factory=dict)
    verdict: str = ""
    advice: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    pending: Mapping[Rung, SoFar] = field(default_factory=dict)
    judge: str = ""

    @property
    def may_refuse(self) -> bool:
        """Whether a detector stands in the defense."""
        return any(rate.refused is not None for rate in self.rates.values())

    def success_rate(self, rung: Rung) -> float | None:
        """Of the images that a detector accepts and that are right when clean, which part a rung has felled.

        None without a detector, without the rung, and where there are no such images. At a detector's false
        positive rate it is the success rate of Bryniarski et al. 2022 (SR@5 at 5 %).
        """
        clean = self.rates["clean"].count if "clean" in self.rates else 0
        if not self.may_refuse or rung not in self.rates or clean == 0:
            return None
        return (clean - self.rates[rung].count) / clean

    @property
    def masking_gap(self) -> float | None:
        """Shattered minus bpda accuracy: how much of the robustness was a hidden gradient."""
        if "shattered" not in self.rates or "bpda" not in self.rates:
            return None
        return self.rates["shattered"].accuracy - self.rates["bpda"].accuracy

    @property
    def masking_gap_interval(self) -> Interval | None:
        """Its 95 % score interval (Tango 1998); None where the rungs were not compared image by image."""
        return self.pairs["bpda"].interval if "bpda" in self.pairs else None


def join_samples(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Samples of several batches as one frame, in the order of defense, rung and index as they came."""
    filled = [part for part in parts if len(part)]
    frame = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(SAMPLE_TYPES))
    return frame.astype(dict(SAMPLE_TYPES))
