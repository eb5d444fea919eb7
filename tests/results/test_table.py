"""From samples to rows: every rate is a count of the records that are its own."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from advbench.results.indicators import Indicator
from advbench.results.records import LADDER, SAMPLE_TYPES, Rung, Spread, join_samples
from advbench.results.table import ATTACKED, Cell, Heading, pairs_of, rates_of, rows_of, warnings_of
from advbench.results.verdict import standing_of

ORDINARY: dict[str, Any] = {"str": "", "int64": 3, "bool": True, "float64": np.nan}


def records(
    rung: str, robust: list[bool], *, defense: str = "round", attack: str = "pgd", **others: Any
) -> pd.DataFrame:
    """Records of the first images of a data set, with ordinary entries but for those that are named."""
    known = {name: ORDINARY[kind] for name, kind in SAMPLE_TYPES.items()}
    share = [0.0 if each else 1.0 for each in robust]
    named = {
        "rung": rung,
        "defense": defense,
        "attack": attack,
        "flat_gradient": False,
        "fooled_share": share,
    }
    return pd.DataFrame({**known, **named, "index": range(len(robust)), "robust": robust, **others})


def heading(**changes: Any) -> Heading:
    settings: dict[str, Any] = {
        "model": "m",
        "dataset": "d",
        "norm": "linf",
        "eps": "0.1",
        "attacks": ("pgd",),
        "substitutes": {"none": "", "round": "identity"},
        "rungs": LADDER,
    }
    return Heading(**{**settings, **changes})


T, F = True, False
SAMPLES = join_samples(
    [
        records("clean", [T, T, T, F], attack=""),
        records("shattered", [T, T, F, F]),
        records("bpda", [F, T, T, F]),
        records("gradient_free", [T, F, T, F], attack="square"),
        records("shattered", [F, F, F, F], attack="fgsm"),
        records("clean", [T, T, T, T], defense="none", attack=""),
    ]
)


def test_each_rung_is_counted_by_itself_and_the_worst_over_all_of_them() -> None:
    rates = rates_of(SAMPLES, "round", "pgd", worst=True)
    assert [(rung, rate.count, rate.n) for rung, rate in rates.items()] == [
        ("clean", 3, 4),
        ("shattered", 2, 4),
        ("bpda", 2, 4),
        ("gradient_free", 2, 4),
        ("worst", 0, 4),
    ]
    assert all(rate.spread is None and rate.median is None for rate in rates.values())
    other = rates_of(SAMPLES, "round", "fgsm")
    assert {rung: rate.count for rung, rate in other.items()} == {
        "clean": 3,
        "shattered": 0,
        "gradient_free": 2,
    }
    assert rates_of(SAMPLES, "median", "pgd") == {}


def test_the_order_of_the_records_changes_nothing() -> None:
    turned = SAMPLES.iloc[::-1].reset_index(drop=True)
    assert rates_of(turned, "round", "pgd", worst=True) == rates_of(SAMPLES, "round", "pgd", worst=True)
    assert rows_of(turned, heading(rungs=("bpda",))) == rows_of(SAMPLES, heading(rungs=("bpda",)))


def test_single_draws_have_the_mean_and_the_deviation_of_independent_coins() -> None:
    shares = [0.0, 0.25, 0.5, 1.0]
    found = rates_of(records("bpda", [T, T, T, F], fooled_share=shares), "round", "pgd")["bpda"].spread
    mean = 1 - np.mean(shares)
    deviation = np.sqrt(np.sum([share * (1 - share) for share in shares])) / 4
    assert isinstance(found, Spread)
    assert found == pytest.approx((mean, deviation))


@pytest.mark.parametrize(
    ("robust", "smallest", "median"),
    [
        ([F, F, T], [0.1, 0.2, 0.4], 0.2),
        ([F, F, T, T], [0.1, 0.2, 0.4, np.nan], 0.3),
        ([F, T, T], [0.1, 0.4, np.nan], 0.4),
        ([T, T, T], [0.4, np.nan, np.nan], None),  # less than half are known
        ([F, F, F], [0.1, 0.2, 0.3], None),  # nothing was looked for beyond the radius
        ([F, F, T], [0.1, 0.2, np.nan], None),
    ],
)
def test_the_median_distance_is_told_where_an_attack_has_looked_beyond_the_radius(
    robust: list[bool], smallest: list[float], median: float | None
) -> None:
    rate = rates_of(records("shattered", robust, smallest=smallest), "round", "pgd")["shattered"]
    assert rate.median == (None if median is None else pytest.approx(median))


def test_cells_are_every_rung_that_is_run_in_the_order_of_the_ladder() -> None:
    plan = heading(attacks=("pgd", "fgsm"), gradient_free="square")
    assert plan.cells() == [
        Cell("none", "", "clean"),
        Cell("none", "pgd", "shattered"),
        Cell("none", "fgsm", "shattered"),
        Cell("none", "square", "gradient_free"),
        Cell("round", "", "clean"),
        *(Cell("round", "pgd", rung) for rung in ATTACKED),
        *(Cell("round", "fgsm", rung) for rung in ATTACKED),
        Cell("round", "square", "gradient_free"),
    ]
    assert ATTACKED == ("static", "shattered", "bpda")
    assert plan.reasons("round") == {}
    assert set(plan.reasons("none")) == {"static", "bpda"}
    assert heading(rungs=("shattered",)).reasons("none") == {}
    assert Cell("round", "", "clean").records(SAMPLES)["robust"].tolist() == [T, T, T, F]


def test_rows_come_by_defense_then_attack_and_have_pairs_and_substitutes_where_they_were_run() -> None:
    undefended = records("shattered", [F, F, F, T], defense="none")
    plan = heading(rungs=("shattered", "bpda"), notes=("a note",), doubts={"round": ("a doubt",)})
    none, defended = rows_of(join_samples([SAMPLES, undefended]), plan)
    assert (none.defense, none.substitute, none.reasons) == ("none", "", {"bpda": "no defense to substitute"})
    assert (defended.substitute, defended.verdict, defended.advice) == ("identity", "", ())
    assert (defended.warnings, defended.notes) == (("a doubt",), ("a note",))
    pairs = defended.pairs["bpda"]
    assert (pairs.both, pairs.only_first, pairs.only_second, pairs.n) == (1, 1, 1, 4)


def test_pairs_are_of_the_shattered_rung_and_every_other_that_was_attacked() -> None:
    mine = SAMPLES[(SAMPLES["defense"] == "round") & (SAMPLES["attack"] != "fgsm")]
    assert list(pairs_of(standing_of(mine))) == ["bpda", "gradient_free"]


@pytest.mark.parametrize(
    ("defense", "rung", "warned"),
    [
        ("none", "shattered", True),
        ("round", "shattered", False),
        ("round", "bpda", True),
        ("round", "static", False),
    ],
)
def test_a_flat_gradient_is_a_warning_where_there_should_be_one(
    defense: str, rung: Rung, warned: bool
) -> None:
    flat = records(rung, [T, T, F], defense=defense, flat_gradient=[T, F, F])
    found = warnings_of(flat, defense, "pgd")
    assert bool(found) is warned
    assert all(
        each.startswith(f"{rung}: the gradient was zero or undefined for 1 of 3 images") for each in found
    )
    assert warnings_of(flat.assign(queries=0), defense, "pgd") == [], "nothing was attacked"


def test_examples_without_a_prediction_are_told_on_every_rung() -> None:
    undecided = records("static", [T, T, F], prediction=[-1, -1, 2])
    assert warnings_of(undecided, "round", "pgd") == [
        "static: 2 of 3 examples gave NaN logits and count as robust"
    ]


@pytest.mark.parametrize(("part", "warned"), [(60.0, True), (20.0, False)])
def test_a_binarization_test_that_random_points_pass_is_warned_of_in_its_own_row(
    part: float, warned: bool
) -> None:
    indicator = Indicator(
        defense="round", attack="pgd", rung="bpda", name="binarization_random", part=part, whole=64.0
    )
    shown = join_samples([SAMPLES, records("shattered", [F, F, F, F], defense="none")])
    none, defended = rows_of(shown, heading(indicators=(indicator,), rungs=("shattered", "bpda")))
    assert not none.warnings
    assert any("random points find the examples" in warning for warning in defended.warnings) == warned
