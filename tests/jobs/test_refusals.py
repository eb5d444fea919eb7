"""Which rows end a run with exit code 1: verdicts that are refused, and too few images that stand."""

from dataclasses import replace

import pytest

from advbench.errors import RunError, SpecError
from advbench.jobs.refusals import refusals
from advbench.results.records import Rate, Row
from advbench.results.verdict import KINDS
from tests.reports.records import NONE


def rows(*verdicts: tuple[str, str, int]) -> list[Row]:
    """Rows of 100 images by defense, verdict and how many stand."""
    return [
        replace(
            NONE, defense=defense, verdict=verdict, rates={"clean": Rate(99, 100), "worst": Rate(left, 100)}
        )
        for defense, verdict, left in verdicts
    ]


FALLEN = ("none", "not robust: 3 of 100 images stand", 3)
GOOD = ("jpeg", "robust as measured: 60 of 100 images stand", 60)


@pytest.mark.parametrize(
    ("fail_on", "least", "table", "told"),
    [
        ("not-robust", None, [FALLEN], "--fail-on: none under pgd:steps=40 is not robust"),
        ("not-robust", None, [FALLEN, GOOD], None),
        ("not-robust", None, [FALLEN, ("jpeg", "not robust: 9", 9)], "--fail-on: jpeg under"),
        ("masked", None, [("none", "masked: why", 9), GOOD], "--fail-on: none under"),
        ("", 0.4, [FALLEN], "--min-robust 0.4: none under pgd:steps=40 keeps 3 of 100 (0.03)"),
        ("", 0.4, [FALLEN, GOOD], None),
        ("", 0.6, [FALLEN, GOOD], None),
        ("", 0.61, [FALLEN, GOOD], "jpeg under pgd:steps=40 keeps 60 of 100 (0.6)"),
        ("", 0.4, [("none", "masked: why", 80)], "is masked: less than its 80 of 100 may stand"),
        ("", 0.4, [("none", "unreliable: why", 80)], "is unreliable: less than"),
        ("not-robust", 0.4, [FALLEN], "stand. --min-robust 0.4:"),
    ],
)
def test_what_ships_must_stand(
    fail_on: str, least: float | None, table: list[tuple[str, str, int]], told: str | None
) -> None:
    refused = refusals(fail_on, least)
    if told is None:
        refused.check(rows(*table))
        return
    with pytest.raises(RunError) as error:
        refused.check(rows(*table))
    assert told in str(error.value)


def test_every_verdict_can_be_refused_by_its_word_and_no_other() -> None:
    for kind in KINDS:
        refused = refusals(f" {kind.replace(' ', '-')} ,", None)
        for other in KINDS:
            table = rows(("none", f"{other}: why", 50))
            if other == kind:
                with pytest.raises(RunError, match=f"--fail-on: none under pgd:steps=40 is {kind}: why"):
                    refused.check(table)
            else:
                refused.check(table)


def test_every_row_that_is_refused_is_named() -> None:
    table = rows(("a", "masked: 1", 10), ("b", "robust as measured", 90), ("c", "masked: 2", 30))
    with pytest.raises(RunError) as refused:
        refusals("masked", 0.2).check(table)
    assert str(refused.value) == (
        "--fail-on: a under pgd:steps=40 is masked: 1; c under pgd:steps=40 is masked: 2. "
        "--min-robust 0.2: a under pgd:steps=40 keeps 10 of 100 (0.1); "
        "c under pgd:steps=40 is masked: less than its 30 of 100 may stand."
    )


@pytest.mark.parametrize(
    ("fail_on", "least", "said"),
    [
        ("", 40.0, "--min-robust must be a fraction of the images in [0, 1], like 0.4; got 40."),
        ("", -0.1, "--min-robust must be a fraction of the images in [0, 1], like 0.4; got -0.1."),
        ("", float("nan"), "--min-robust must be a fraction of the images in [0, 1], like 0.4; got nan."),
        ("masked,sadness", None, "there is no verdict 'sadness'; known: robust-as-measured, not-robust,"),
        (" , ", None, "there is no verdict ' , '; known:"),
    ],
)
def test_what_refuses_nothing_is_an_error(fail_on: str, least: float | None, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        refusals(fail_on, least)
    assert said in str(refused.value)


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_the_borders_of_a_least_share_are_shares(least: float) -> None:
    refusals("", least).check(rows(("none", "robust as measured", 100)))
