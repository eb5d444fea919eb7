"""What a table says of a detector, and what a verdict makes of it."""

from dataclasses import replace

import pandas as pd
import pytest

from advbench.reports.formats import Format, render
from advbench.reports.frame import table_frame
from advbench.results.advice import Setup
from advbench.results.detecting import Detecting, implied, same_thresholds
from advbench.results.records import REFUSED, Rate, Refused, Row
from advbench.results.table import rates_of
from advbench.results.verdict import Case, verdict_of

TOLD = Detecting(name="unsure", threshold=0.5, fpr=0.05, refused=5, n=100)
ROW = Row(
    model="m",
    dataset="d",
    n=10,
    defense="guard",
    norm="linf",
    eps="8/255",
    attack="pgd",
    rates={"clean": Rate(8, 10, refused=Refused(1, 8)), "shattered": Rate(2, 10, refused=Refused(4, 1))},
)


def test_a_threshold_is_told_with_how_it_was_fixed() -> None:
    assert TOLD.sentence == (
        "detector unsure refuses scores above 0.5, fixed at a false positive rate of 0.05: 5 of 100 clean "
        "images that are not attacked"
    )
    assert replace(TOLD, fpr=None, attacked=True).sentence == (
        "detector unsure refuses scores above 0.5, its own threshold: 5 of 100 clean images of the run; the "
        "table holds at the detector's own rate"
    )


@pytest.mark.parametrize(("eps", "half"), [("8/255", "4/255"), ("0.3", "0.15"), ("1/255", "0.5/255")])
def test_the_classifier_that_would_follow_is_at_half_the_radius(eps: str, half: str) -> None:
    told = implied([("static", Rate(9, 10)), ("shattered", Rate(6, 10))], "linf", eps)
    assert told.startswith(
        f"if the 60.0 % that stand behind the detector stood against every attack at linf eps {eps}"
    )
    assert f"keeps as much at eps {half} without refusing" in told


@pytest.mark.parametrize(("count", "eps"), [(0, "8/255"), (5, "inf"), (5, "wide")])
def test_nothing_follows_where_nothing_stands_or_the_radius_has_no_half(count: int, eps: str) -> None:
    assert implied([("shattered", Rate(count, 10))], "linf", eps) == ""


def test_thresholds_are_compared_up_to_rounding() -> None:
    assert same_thresholds([TOLD], [replace(TOLD, threshold=0.50001)])
    assert not same_thresholds([TOLD], [replace(TOLD, threshold=0.51)])
    assert not same_thresholds([TOLD], [replace(TOLD, fpr=None)])
    assert not same_thresholds([TOLD], [replace(TOLD, refused=9)])
    assert not same_thresholds([TOLD], [])


def test_robust_accuracy_is_told_both_ways() -> None:
    line = table_frame([ROW]).iloc[0]
    assert (line["clean_refused_count"], line["shattered_refused_count"]) == (1, 4)
    assert line["clean_accepted_accuracy"] == pytest.approx(8 / 9)
    assert line["shattered_accepted_accuracy"] == pytest.approx(1 / 6)
    assert line["shattered_success_rate"] == pytest.approx(6 / 8)
    assert "clean_success_rate" not in line


def test_columns_of_detectors_are_there_only_beside_a_detector() -> None:
    plain = replace(ROW, defense="none", rates={"clean": Rate(8, 10), "shattered": Rate(2, 10)})
    assert not [name for name in table_frame([plain]).columns if "refused" in name or "success" in name]
    both = table_frame([plain, ROW])
    assert list(both.columns[: len(table_frame([plain]).columns)]) == list(table_frame([plain]).columns)
    assert pd.isna(both.iloc[0]["clean_refused_count"])


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("markdown", ("refused 4", "refused: by the detector")),
        ("csv", ("shattered_refused_count", "shattered_success_rate")),
        ("json", ("shattered_refused_count", "shattered_accepted_accuracy")),
    ],
)
def test_every_form_of_the_table_tells_what_is_refused(form: Format, told: tuple[str, ...]) -> None:
    assert all(text in render([ROW], form) for text in told)


def records(predictions: list[int], robust: list[bool]) -> pd.DataFrame:
    n = len(predictions)
    return pd.DataFrame(
        {
            "index": range(n),
            "defense": "guard",
            "attack": "pgd",
            "rung": "shattered",
            "prediction": predictions,
            "robust": robust,
            "fooled_share": [float(not stands) for stands in robust],
            "smallest": float("nan"),
        }
    )


def test_what_is_refused_and_what_is_accepted_and_right_is_counted() -> None:
    samples = records([REFUSED, REFUSED, 1, 2, -1], [True, False, True, False, True])
    rate = rates_of(samples, "guard", "pgd", may_refuse=True)["shattered"]
    assert (rate.count, rate.refused) == (3, Refused(2, 2))
    assert rates_of(samples, "guard", "pgd")["shattered"].refused is None


def case(static: int, shattered: int, *, may_refuse: bool) -> Case:
    standing = pd.DataFrame(
        {
            "clean": [True] * 100,
            "static": [place < static for place in range(100)],
            "shattered": [place < shattered for place in range(100)],
        }
    )
    samples = records([0] * 100, standing["shattered"].tolist()).assign(flat_gradient=False)
    setup = Setup(defense="guard", attack="pgd:loss=margin")
    return Case(
        standing=standing, samples=samples, indicators=[], doubts=(), setup=setup, may_refuse=may_refuse
    )


def test_a_detector_that_falls_once_it_is_known_is_masked_and_another_defense_is_not_robust() -> None:
    verdict = verdict_of(case(95, 10, may_refuse=True))
    assert verdict.kind == "masked"
    assert verdict.evidence[0] == (
        "robust only while the attack does not know the detector: attacks along the detector's own gradient "
        "fell 85 of the 95 images that examples made on the classifier alone left (p < 0.0001)"
    )
    assert verdict_of(case(95, 10, may_refuse=False)).kind == "not robust"
    assert verdict_of(case(12, 10, may_refuse=True)).kind == "not robust"
