"""What a trained model came to, as plain records."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from advbench.results.records import wilson_interval
from advbench.results.statistics import Interval, tango_interval

Measure = Literal["clean", "statistics", "corruption", "attack"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An accuracy of one model.

    Args:
        model: `before`, `plain` or `apart`.
        measure: what kind of measurement.
        setting: which one of its kind: the size of the noise, the corruption and severity, the attack.
        n: images.
        passes: how often each was judged: the draws of the noise.
        count: how many of the `n * passes` judgements were right.
    """

    model: str
    measure: Measure
    setting: str
    n: int
    passes: int
    count: int

    @property
    def accuracy(self) -> float:
        """The fraction, in [0, 1]."""
        return self.count / (self.n * self.passes)

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of `n` images, however often each was judged."""
        return wilson_interval(round(self.count / self.passes), self.n)


class Paired(NamedTuple):
    """Two models on the same clean images."""

    one: str
    other: str
    n: int
    both: int
    """Images that both classify correctly."""
    only_one: int
    only_other: int

    @property
    def difference(self) -> float:
        """Accuracy of the first minus that of the other, as a fraction."""
        return (self.only_one - self.only_other) / self.n

    @property
    def interval(self) -> Interval:
        """Its 95 % score interval (see `tango_interval`)."""
        return tango_interval(self.only_one, self.only_other, self.n)
