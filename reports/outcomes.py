"""The rows of a report as outcomes that other programs can act on: what passed, what failed, and why.

passed      robust as measured
failed      masked, or not robust
unsound     unreliable: there is a number, and it says nothing
undecided   not enough evidence, or no ladder was climbed
reference   how little the model stands alone, in a row beside the defenses that are judged
unmeasured  a cell of a sweep that has no numbers
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from advbench.results.records import UNDEFENDED, Rate, Row
from advbench.results.verdict import Kind

from .runs import Merged, ReportedRun

State = Literal["passed", "failed", "unsound", "undecided", "reference", "unmeasured"]

STATES: Final[Mapping[Kind, State]] = {
    "robust as measured": "passed",
    "masked": "failed",
    "not robust": "failed",
    "unreliable": "unsound",
    "not enough evidence": "undecided",
}

NO_VERDICT: Final = "no verdict"
"""The kind of a row whose run climbed no ladder."""

NOT_MEASURED: Final = "not measured"
"""The kind of a row without numbers."""

_WITHOUT_LADDER: Final = (
    "the run climbed no ladder (--ladder), so nothing says whether its gradient is hidden"
)
_TRAITS: Final = ("model", "dataset", "norm", "eps", "attack", "defense")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A row, with what it comes to.

    Args:
        row: the row.
        run: where it comes from; None where it has no numbers.
        state: what it comes to.
        kind: its verdict's first words, or that it has none.
        evidence: the rest of its verdict, in a sentence.
    """

    row: Row
    run: ReportedRun | None
    state: State
    kind: str
    evidence: str

    @property
    def name(self) -> str:
        """What tells it from the other rows of a report: `digits-cnn/digits/linf 0.15/pgd/round`."""
        row = self.row
        return "/".join((row.model, row.dataset, f"{row.norm} {row.eps}", row.attack, row.defense))

    @property
    def key(self) -> str:
        """A digest of the name, the same for the same row of every later run."""
        traits = "\x00".join(getattr(self.row, name) for name in _TRAITS)
        return hashlib.sha256(traits.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def command(self) -> str:
        """What repeats the run; empty where it does not say."""
        return "" if self.run is None else self.run.origin["command"]

    @property
    def seal(self) -> str:
        """The digest of the run's seal, which holds its evidence to what it was; empty without one."""
        seal = None if self.run is None else self.run.records.manifest.seal
        return "" if seal is None else seal.digest

    @property
    def sentence(self) -> str:
        """The outcome for people: what was attacked, the verdict, and its evidence."""
        row = self.row
        subject = f"{row.defense} on {row.model} ({row.dataset}, {row.norm} {row.eps}, {row.attack})"
        return f"{subject} is {self.kind}: {self.evidence}."

    @property
    def measured(self) -> dict[str, Any]:
        """The numbers as plain data: for each rung a count, all images, the fraction, its interval."""
        return {
            "traits": {name: getattr(self.row, name) for name in _TRAITS},
            "verdict": self.kind,
            "evidence": self.evidence,
            "rungs": {rung: _rate(rate) for rung, rate in self.row.rates.items()},
            "substitute": self.row.substitute,
            "advice": list(self.row.advice),
            "warnings": list(self.row.warnings),
            "notes": list(self.row.notes),
            "command": self.command,
            "run": "" if self.run is None else self.run.origin["run"],
            "seal": self.seal,
        }


def outcomes_of(merged: Merged) -> list[Outcome]:
    """What the rows of a report come to, in their order."""
    defended = {row.model for row in merged.rows if row.defense != UNDEFENDED}
    return [
        _outcome(row, run, is_reference=row.defense == UNDEFENDED and row.model in defended)
        for row, run in zip(merged.rows, merged.runs, strict=True)
    ]


def _outcome(row: Row, run: ReportedRun | None, *, is_reference: bool) -> Outcome:
    kind, _, evidence = row.verdict.partition(": ")
    if not row.rates:
        kind, evidence, state = NOT_MEASURED, row.error or "the run has no numbers yet", "unmeasured"
    elif not kind:
        kind, evidence, state = NO_VERDICT, _WITHOUT_LADDER, "undecided"
    else:
        state = "reference" if is_reference and kind == "not robust" else _state(kind)
    return Outcome(row=row, run=run, state=state, kind=kind, evidence=evidence)  # type: ignore[arg-type]  # literals


def _state(kind: str) -> State:
    """What a verdict comes to; one of a later version is nothing to rely on."""
    return next((state for known, state in STATES.items() if known == kind), "unsound")


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "count": rate.count,
        "n": rate.n,
        "accuracy": rate.accuracy,
        "low": rate.interval.low,
        "high": rate.interval.high,
    }
