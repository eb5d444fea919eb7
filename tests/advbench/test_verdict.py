"""The table of decisions, a line at a time."""

from typing import Any

import pandas as pd
import pytest

from advbench.indicators import Indicator
from advbench.records import Rung
from advbench.verdict import Verdict, standing_of, verdict_of

N = 100


def row(
    indicators: dict[str, float] | None = None,
    *,
    defense: str = "round",
    doubts: tuple[str, ...] = (),
    flat: int = 0,
    undecided: int = 0,
    **standing: int,
) -> Verdict:
    """The verdict where the first so many of 100 images stand on each rung."""
    frame = pd.DataFrame({rung: [k < count for k in range(N)] for rung, count in standing.items()})
    best: Rung = "bpda" if "bpda" in standing else "shattered"
    samples = pd.DataFrame(
        {
            "rung": best,
            "robust": frame[best],
            "flat_gradient": [k < flat for k in range(N)],
            "prediction": [-1 if k < undecided else 3 for k in range(N)],
        }
    )
    found = [
        Indicator(defense=defense, attack="pgd", rung=best, name=name, part=value * 32, whole=32)
        for name, value in (indicators or {"plateau": 0.0}).items()
    ]
    return verdict_of(frame, samples, found, doubts, defense)


FULL: dict[str, Any] = {"clean": 99, "static": 90, "shattered": 80, "bpda": 78, "gradient_free": 79}


def test_a_row_without_signs_is_robust_as_measured() -> None:
    assert str(row(**FULL)) == "robust as measured"
    assert str(row(clean=0, static=0, shattered=0, bpda=0, gradient_free=0)) == "robust as measured"


@pytest.mark.parametrize(
    ("rung", "named"),
    [("bpda", "BPDA"), ("static", "made on the undefended"), ("gradient_free", "gradient-free")],
)
def test_what_another_rung_fells_was_hidden(rung: str, named: str) -> None:
    found = row(**{**FULL, rung: 60})
    assert found.kind == "masked"
    assert named in str(found)
    assert "fell 20 of the 80 images" in str(found)


def test_the_rung_that_shows_most_is_named() -> None:
    assert "gradient-free attacks fell 75" in str(row(**{**FULL, "bpda": 40, "gradient_free": 5}))


@pytest.mark.parametrize(("gap", "kind"), [(9, "not enough evidence"), (10, "masked")])
def test_a_tenth_of_all_images_must_have_been_hidden(gap: int, kind: str) -> None:
    assert row(**{**FULL, "static": 80 - gap, "bpda": 80}).kind == kind


def test_a_gap_that_chance_may_have_made_is_not_one() -> None:
    few = pd.DataFrame({"shattered": [True] * 5, "bpda": [True] * 4 + [False]})
    samples = pd.DataFrame({"rung": "bpda", "robust": few["bpda"], "flat_gradient": False, "prediction": 3})
    assert verdict_of(few, samples, [], (), "round").kind == "not enough evidence"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"flat": 50}, "50 of 100 images stand without a gradient"),
        ({"undecided": 20}, "20 of 100 examples gave NaN"),
        ({"doubts": ("the model is random",)}, "the model is random"),
        ({"indicators": {"unbounded": 0.5, "plateau": 0.0}}, "however far"),
        ({"indicators": {"one_step": 0.5, "plateau": 0.0}}, "one step fells images"),
    ],
)
def test_numbers_that_cannot_be_trusted_are_unreliable(changes: dict[str, object], told: str) -> None:
    found = row(**{**FULL, **changes})
    assert found.kind == "unreliable"
    assert told in str(found)


def test_an_attack_weaker_than_one_step_hides_nothing() -> None:
    assert row({"one_step": 0.5}, **{**FULL, "gradient_free": 10}).kind == "unreliable"
    assert row({"one_step": 0.05, "plateau": 0.0}, **{**FULL, "gradient_free": 10}).kind == "masked"


@pytest.mark.parametrize("name", ["plateau", "one_step", "noise", "wider"])
def test_what_a_stronger_look_still_changes_is_not_enough(name: str) -> None:
    found = row({"plateau": 0.0, name: 0.08}, **FULL)
    assert found.kind == "not enough evidence"
    assert found.advice


def test_a_loss_that_still_rises_counts_where_nobody_looked_at_more_steps() -> None:
    assert row({"incomplete": 0.9}, **FULL).kind == "not enough evidence"
    assert row({"incomplete": 0.9, "plateau": 0.0}, **FULL).kind == "robust as measured"


def test_where_nothing_stands_nothing_is_missing() -> None:
    assert str(
        row({"one_step": 0.03, "plateau": 0.0}, **{**FULL, "bpda": 71, "gradient_free": 0})
    ).startswith("masked")
    assert str(row({"one_step": 0.03}, defense="none", clean=99, shattered=2, gradient_free=0)) == (
        "robust as measured"
    )
    assert row({"one_step": 0.03}, defense="none", clean=99, shattered=2, gradient_free=1).kind == (
        "not enough evidence"
    )


def test_a_model_that_cannot_be_judged_stays_so_where_nothing_stands() -> None:
    found = row(defense="none", doubts=("the model is random",), clean=99, shattered=2, gradient_free=0)
    assert str(found) == "unreliable: the model is random"


def test_a_missing_rung_is_asked_for() -> None:
    found = row(clean=99, shattered=80)
    assert str(found) == "not enough evidence: not run: static, bpda, gradient_free"
    assert found.advice == ("--ladder",)
    assert row(defense="none", shattered=80, gradient_free=80).kind == "robust as measured"


def test_a_weaker_attack_that_does_better_is_evidence_of_a_weak_one() -> None:
    found = row(**{**FULL, "gradient_free": 71})
    assert found.kind == "not enough evidence"
    assert "7.0 points less than bpda" in str(found)
    assert found.advice == ("a stronger attack: --attack strongest",)


def test_standing_is_read_from_the_records() -> None:
    samples = pd.DataFrame(
        {
            "index": [0, 1, 0, 1],
            "rung": ["clean", "clean", "bpda", "bpda"],
            "robust": [True, True, False, True],
        }
    )
    assert standing_of(samples).to_dict("list") == {"bpda": [False, True], "clean": [True, True]}
