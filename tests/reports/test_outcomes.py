"""Verdicts as outcomes: which are failures, and which say nothing."""

from dataclasses import replace

from advbench.reports.outcomes import STATES, outcomes_of
from advbench.reports.runs import Merged
from advbench.results.verdict import KINDS
from tests.reports.outcomes import outcomes, rows
from tests.reports.records import HOSTILE


def test_each_verdict_has_a_state_and_only_one_of_them_passes() -> None:
    assert set(STATES) == set(KINDS)
    assert [kind for kind, state in STATES.items() if state == "passed"] == ["robust as measured"]


def test_a_row_comes_to_what_its_verdict_says() -> None:
    assert {outcome.row.defense: outcome.state for outcome in outcomes()} == {
        "none": "reference",
        "round": "failed",
        "trained": "passed",
        HOSTILE: "failed",
        "mixed": "unsound",
        "thin": "undecided",
        "plain": "undecided",
        "broken": "unmeasured",
    }


def test_an_undefended_model_that_falls_is_a_failure_where_nothing_defends_it() -> None:
    alone = rows()[:1]
    assert [outcome.state for outcome in outcomes_of(Merged(alone, [None]))] == ["failed"]


def test_a_masked_undefended_model_is_a_failure_beside_defenses_too() -> None:
    first, second, *_ = rows()
    masked = replace(first, verdict=second.verdict)
    assert outcomes_of(Merged([masked, second], [None, None]))[0].state == "failed"


def test_a_verdict_of_a_later_version_never_passes() -> None:
    later = replace(rows()[2], verdict="certified: all stand")
    assert outcomes_of(Merged([later], [None]))[0].state == "unsound"


def test_the_key_depends_on_what_the_row_is_about_and_not_on_its_numbers() -> None:
    row = rows()[2]
    other = replace(row, rates={}, verdict="")
    (one,), (same,) = (outcomes_of(Merged([each], [None])) for each in (row, other))
    (different,) = outcomes_of(Merged([replace(row, eps="4/255")], [None]))
    assert one.key == same.key != different.key


def test_numbers_keep_their_counts_and_intervals() -> None:
    (outcome,) = outcomes("trained")
    worst = outcome.measured["rungs"]["worst"]
    assert (worst["count"], worst["n"], worst["accuracy"]) == (80, 200, 0.4)
    assert worst["low"] < 0.4 < worst["high"]
