"""Outcomes of every state, which the tests of exports share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from advbench.reports.outcomes import Outcome, outcomes_of
from advbench.reports.runs import Merged
from advbench.results.records import Rate, Row, Rung
from tests.reports.records import HOSTILE, NONE

LADDER: Final[Mapping[Rung, Rate]] = {
    "clean": Rate(190, 200),
    "shattered": Rate(180, 200),
    "bpda": Rate(90, 200),
    "worst": Rate(80, 200),
}
VERDICTS: Final = {
    "none": "not robust: 0 of 200 images stand on every rung (0.0 to 1.9 %)",
    "round": "masked: attacks with BPDA fell 90 of the 180 images that its own gradient left (p < 0.0001)",
    "trained": "robust as measured: 80 of 200 images stand on every rung",
    HOSTILE: "not robust: 2 of 200 images stand on every rung",
    "mixed": "unreliable: the model's answer depends on the batch",
    "thin": "not enough evidence: the static rung is missing",
    "plain": "",
}
FAILED: Final = replace(NONE, defense="broken", n=0, rates={}, reasons={}, error="out of memory\x1b[31m")


def rows() -> list[Row]:
    """A row of each verdict, one without, and one without numbers."""
    made = [
        replace(NONE, defense=defense, verdict=verdict, reasons={}, rates=LADDER)
        for defense, verdict in VERDICTS.items()
    ]
    return [*made, FAILED]


def outcomes(*defenses: str) -> list[Outcome]:
    """The outcomes of these rows, or of all."""
    made = rows()
    known = outcomes_of(Merged(made, [None] * len(made)))
    return [outcome for outcome in known if not defenses or outcome.row.defense in defenses]
