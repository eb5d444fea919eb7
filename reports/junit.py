"""Verdicts as JUnit XML, which every CI shows: a row is a test.

`failed` is a failure, and `unsound` and `unmeasured` are errors: what they would have measured is not known.
`undecided` and `reference` are skipped with their reason, and make nothing green.
"""

from collections.abc import Sequence
from typing import Final, assert_never
from xml.etree import ElementTree as Tree

from advbench.errors import printable

from .outcomes import Outcome

_NAME: Final = "advbench"


def junit(outcomes: Sequence[Outcome]) -> str:
    """A suite with a test for each row.

    Args:
        outcomes: the rows of a report.
    """
    suites = Tree.Element("testsuites", name=_NAME)
    by_model: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_model.setdefault(outcome.row.model, []).append(outcome)
    for model, members in by_model.items():
        states = [outcome.state for outcome in members]
        suite = Tree.SubElement(
            suites,
            "testsuite",
            name=printable(model),
            tests=str(len(members)),
            failures=str(states.count("failed")),
            errors=str(states.count("unsound") + states.count("unmeasured")),
            skipped=str(states.count("undecided") + states.count("reference")),
        )
        for outcome in members:
            _test(suite, outcome)
    Tree.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{Tree.tostring(suites, encoding="unicode")}\n'


def _test(suite: Tree.Element, outcome: Outcome) -> None:
    row = outcome.row
    subject = f"{row.model}.{row.dataset}.{row.norm} {row.eps}"
    test = Tree.SubElement(
        suite, "testcase", classname=printable(subject), name=printable(f"{row.attack} {row.defense}")
    )
    match outcome.state:
        case "failed":
            mark: Tree.Element | None = Tree.SubElement(test, "failure", type=printable(outcome.kind))
        case "unsound" | "unmeasured":
            mark = Tree.SubElement(test, "error", type=printable(outcome.kind))
        case "undecided" | "reference":
            mark = Tree.SubElement(test, "skipped")
        case "passed":
            mark = None
        case _:
            assert_never(outcome.state)
    if mark is not None:
        mark.set("message", printable(f"{outcome.kind}: {outcome.evidence}"))
        if outcome.state == "failed":
            mark.text = printable(outcome.sentence)
    Tree.SubElement(test, "system-out").text = "\n".join(map(printable, _lines(outcome)))


def _lines(outcome: Outcome) -> list[str]:
    """What stands on each rung, what would help, and how to do it again."""
    rates = [
        f"{rung}: {rate.count}/{rate.n} ({rate.interval.low:.3f} to {rate.interval.high:.3f})"
        for rung, rate in outcome.row.rates.items()
    ]
    marks = [("verdict", outcome.sentence), ("repeat", outcome.command), ("seal", outcome.seal)]
    return [*rates, *outcome.row.advice, *(f"{name}: {text}" for name, text in marks if text)]
