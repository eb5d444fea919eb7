"""Verdicts in SARIF 2.1.0 (OASIS), which code scanning reads.

A row is a result of the rule that its verdict names. Its level is `error` where the row failed or could not
be measured, and `warning` where its number is unreliable; everything else is no problem and has the level
`none`, as section 3.27.10 asks for kinds other than `fail`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from advbench.runs.manifest import MANIFEST
from advbench.version import VERSION

from .outcomes import NO_VERDICT, NOT_MEASURED, Outcome, State

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "advbench/row/v1"


class _Weight(NamedTuple):
    """How a result counts."""

    kind: Literal["fail", "pass", "open", "informational"]
    level: Literal["error", "warning", "none"]


_WEIGHTS: Final[Mapping[State, _Weight]] = {
    "passed": _Weight("pass", "none"),
    "failed": _Weight("fail", "error"),
    "unsound": _Weight("fail", "warning"),
    "undecided": _Weight("open", "none"),
    "reference": _Weight("informational", "none"),
    "unmeasured": _Weight("fail", "error"),
}

_RULES: Final[Mapping[str, str]] = {
    "masked": "The defense hides its gradient: another way to attack fells what its own gradient left.",
    "not robust": "Less than a third of what is right when clean stands on every rung.",
    "unreliable": "The attack or the model gives no number that can be relied on.",
    "not enough evidence": "A check is missing or in doubt, so the number may be too high.",
    "robust as measured": "What stands on every rung is named, and no check speaks against it.",
    NO_VERDICT: "The run climbed no ladder.",
    NOT_MEASURED: "The run failed, or has no numbers yet.",
}


def sarif(outcomes: Sequence[Outcome]) -> str:
    """A SARIF log of one run of advbench.

    Args:
        outcomes: the rows of a report.
    """
    kinds = list(dict.fromkeys([*_RULES, *(outcome.kind for outcome in outcomes)]))
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "advbench",
                        "version": VERSION,
                        "semanticVersion": VERSION,
                        "rules": [_rule(kind) for kind in kinds],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "invocations": _invocations(outcomes),
                "results": [_result(outcome, kinds) for outcome in outcomes],
            }
        ],
    }
    return json.dumps(log, indent=2) + "\n"


def _identifier(kind: str) -> str:
    return kind.replace(" ", "-")


def _rule(kind: str) -> dict[str, Any]:
    sentence = _RULES.get(kind, "A verdict of another version.")
    return {
        "id": _identifier(kind),
        "name": kind.title().replace(" ", ""),
        "shortDescription": {"text": sentence},
    }


def _invocations(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The commands that made the rows; a failed cell of a sweep has none."""
    commands = dict.fromkeys(outcome.command for outcome in outcomes if outcome.command)
    whole = all(outcome.state != "unmeasured" for outcome in outcomes)
    return [{"commandLine": command, "executionSuccessful": whole} for command in commands]


def _result(outcome: Outcome, kinds: Sequence[str]) -> dict[str, Any]:
    weight = _WEIGHTS[outcome.state]
    repeat = [f"Repeat it: {outcome.command}"] if outcome.command else []
    return {
        "ruleId": _identifier(outcome.kind),
        "ruleIndex": kinds.index(outcome.kind),
        "kind": weight.kind,
        "level": weight.level,
        "message": {"text": "\n".join([outcome.sentence, *outcome.row.advice, *repeat])},
        "locations": [_location(outcome)],
        "partialFingerprints": {FINGERPRINT: outcome.key},
        "properties": outcome.measured,
    }


def _location(outcome: Outcome) -> dict[str, Any]:
    """The row by its name, in the run's record where there is one; no absolute path leaves this machine."""
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": outcome.name, "kind": "object"}]}
    if outcome.run is not None:
        uri = quote(_relative(outcome.run.path).as_posix(), errors="surrogateescape")
        location["physicalLocation"] = {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}
    return location


def _relative(path: Path) -> Path:
    """A run's record as it was named, or below the run's own folder where that was named from the root."""
    inside = not path.is_absolute() and ".." not in path.parts
    return (path if inside else Path(path.resolve().name)) / MANIFEST
