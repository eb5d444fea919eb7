"""The table of decisions, a line at a time."""

from typing import Any

import pandas as pd
import pytest

from advbench.results.advice import Setup
from advbench.results.indicators import Indicator
from advbench.results.records import Rung
from advbench.results.verdict import WITHOUT_EXPECTATION, Case, Verdict, standing_of, verdict_of

N = 100


def row(
    indicators: dict[str, float] | None = None,
    *,
    defense: str = "round",
    attack: str = "pgd",
    substitute: str = "identity",
    queries: str = "square:queries=1000",
    doubts: tuple[str, ...] = (),
    chance: str | None = None,
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
        Indicator(
            defense=defense,
            attack="pgd",
            rung="clean" if name == "autograd_in_forward" else best,
            name=name,
            part=value * 32,
            whole=32,
        )
        for name, value in (indicators or {"plateau": 0.0}).items()
    ]
    setup = Setup(
        defense=defense,
        attack=attack,
        substitute=substitute if "bpda" in standing else "",
        gradient_free=queries,
    )
    return verdict_of(
        Case(standing=frame, samples=samples, indicators=found, doubts=doubts, setup=setup, chance=chance)
    )


FULL: dict[str, Any] = {"clean": 99, "static": 90, "shattered": 80, "bpda": 78, "gradient_free": 79}
BARE: dict[str, Any] = {"defense": "none", "clean": 99, "shattered": 80, "gradient_free": 79}
SOUND = {"plateau": 0.0, "agreement": 0.9, "zero_gradient:margin": 0.0}


def test_a_row_without_signs_is_robust_with_its_number() -> None:
    assert str(row(**FULL)) == ("robust as measured: 78 of 100 images stand on every rung (68.9 to 85.0 %)")


@pytest.mark.parametrize("left", [0, 1, 32])
def test_what_falls_is_not_robust_and_the_count_is_told(left: int) -> None:
    found = row(clean=99, static=left, shattered=left, bpda=left, gradient_free=left)
    assert found.kind == "not robust"
    assert f"{left} of 100 images stand on every rung" in str(found)


def test_between_a_third_and_what_chance_makes_of_it_more_images_are_needed() -> None:
    found = row(**{**BARE, "shattered": 38, "gradient_free": 38})
    assert found.kind == "not enough evidence"
    assert "too few images" in str(found)
    assert found.advice == ("more images: --limit",)


def test_what_is_right_when_clean_is_what_could_stand() -> None:
    assert row(**{**BARE, "clean": 60, "shattered": 33, "gradient_free": 33}).kind == "robust as measured"
    assert row(**{**BARE, "clean": 60, "shattered": 15, "gradient_free": 15}).kind == "not robust"


def test_a_classifier_at_chance_is_unreliable_before_anything_else() -> None:
    found = row({"one_step": 0.9}, chance="clean accuracy is 10 of 100", **FULL)
    assert str(found) == "unreliable: clean accuracy is 10 of 100"
    assert "--mean, --std" in found.advice[0]


@pytest.mark.parametrize(
    ("signs", "kind", "told"),
    [
        ({"zero_gradient:margin": 0.59}, "unreliable", "the gradient of the margin is zero"),
        ({"agreement": 0.11}, "not enough evidence", "does not foretell how the loss changes (cosine 0.11)"),
        ({"agreement": 0.58}, "not enough evidence", "foretells only a part of how the loss changes"),
        (
            {"zero_coordinates": 0.97, "agreement": 0.5},
            "not enough evidence",
            "coordinates of the gradient are exactly zero",
        ),
    ],
)
def test_robust_needs_a_gradient_that_leads_somewhere(signs: dict[str, float], kind: str, told: str) -> None:
    found = row({**SOUND, **signs}, **BARE)
    assert found.kind == kind
    assert told in str(found)
    assert "--defense FILE.py:STEP --bpda" in " ".join(found.advice), "--bpda alone would change nothing"
    assert found.advice[-1] == "--attack strongest --gradient-free square:queries=5000"


def test_few_pixels_may_decide_where_the_gradient_foretells_the_loss() -> None:
    assert row({**SOUND, "zero_coordinates": 0.98}, **BARE).kind == "robust as measured"


def test_a_cross_entropy_that_saturates_asks_for_the_margin() -> None:
    found = row({**SOUND, "zero_gradient:ce": 0.9, "unbounded": 0.3}, flat=70, **BARE)
    assert found.kind == "not enough evidence"
    assert found.advice == ("--attack pgd:loss=margin",)
    assert row({**SOUND, "zero_gradient:margin": 0.9, "zero_gradient:ce": 0.9}, flat=70, **BARE).kind == (
        "unreliable"
    )


def test_gradients_in_the_forward_pass_are_told_before_the_steps() -> None:
    found = row({**SOUND, "autograd_in_forward": 1.0, "plateau": 0.1}, **BARE)
    assert found.kind == "not enough evidence"
    assert "computes gradients in its forward pass" in found.evidence[0]
    assert "twice the steps" in found.evidence[1]


def test_causes_come_in_their_order() -> None:
    signs = {"one_step": 0.3, "zero_gradient:margin": 0.5, "agreement": 0.1, "plateau": 0.2}
    found = row(signs, doubts=("the model is random",), **BARE)
    assert found.evidence == ("the model is random",), "nothing else can be believed"
    found = row(signs, **BARE)
    assert [
        "margin" in found.evidence[0],
        "foretell" in found.evidence[1],
        "one step" in found.evidence[2],
    ] == ([True] * 3)


def test_a_random_model_is_not_called_masked() -> None:
    assert row(doubts=("the model is random",), **{**FULL, "bpda": 10}).kind == "unreliable"
    assert row(doubts=(WITHOUT_EXPECTATION,), **{**FULL, "bpda": 10}).kind == "masked"
    assert row(doubts=(WITHOUT_EXPECTATION,), **FULL).kind == "unreliable"


def test_advice_does_not_repeat_what_was_done() -> None:
    dead = {"zero_gradient:margin": 0.9}
    asked = [
        row(dead, substitute=substitute, **FULL).advice[0]
        for substitute in ("identity", "soft; identity", "finite-difference", "")
    ]
    assert asked[:3] == [
        "--substitute search",
        "--substitute finite-difference",
        "a smooth version of the defense: --substitute FILE.py:FUNCTION",
    ]
    assert row(dead, clean=99, static=90, shattered=80, gradient_free=80).advice[0] == "--bpda"
    told = row(dead, attack="strongest", queries="square:queries=5000", **BARE).advice
    assert told[-1] == "--gradient-free square:queries=25000"


def test_the_better_of_shattered_and_bpda_is_what_others_are_compared_with() -> None:
    found = row(clean=99, static=90, shattered=62, bpda=78, gradient_free=63)
    assert found.kind == "robust as measured", "BPDA alone is beaten, the gradient is not"


@pytest.mark.parametrize(
    ("rung", "named"),
    [
        ("bpda", "BPDA"),
        ("static", "made on the undefended"),
        ("gradient_free", "gradient-free"),
        ("label_only", "labels alone"),
    ],
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
    case = Case(standing=few, samples=samples, indicators=[], doubts=(), setup=Setup(defense="round"))
    assert verdict_of(case).kind == "not enough evidence"


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


def test_what_one_step_fells_is_no_reason_for_far_more_that_another_rung_fells() -> None:
    found = row({"one_step": 0.13}, **{**FULL, "static": 4})
    assert str(found).startswith("masked: examples made on the undefended model fell 76 of the 80 images")
    assert row({"one_step": 0.13}, **{**FULL, "static": 50}).kind == "unreliable"


@pytest.mark.parametrize("name", ["plateau", "one_step", "noise", "wider"])
def test_what_a_stronger_look_still_changes_is_not_enough(name: str) -> None:
    found = row({"plateau": 0.0, name: 0.08}, **FULL)
    assert found.kind == "not enough evidence"
    assert found.advice


def test_a_loss_that_still_rises_counts_where_nobody_looked_at_more_steps() -> None:
    assert row({"incomplete": 0.9}, **FULL).kind == "not enough evidence"
    assert row({"incomplete": 0.9, "plateau": 0.0}, **FULL).kind == "robust as measured"


def test_where_next_to_nothing_stands_nothing_is_missing() -> None:
    assert str(
        row({"one_step": 0.03, "plateau": 0.0}, **{**FULL, "bpda": 71, "gradient_free": 0})
    ).startswith("masked")
    for left in (0, 1):
        found = row({"one_step": 0.03}, defense="none", clean=99, shattered=2, gradient_free=left)
        assert found.kind == "not robust"


def test_what_a_masked_row_leaves_is_an_upper_bound() -> None:
    found = row(**{**FULL, "gradient_free": 60})
    assert "the 60 of 100 that stand on every rung are an upper bound" in str(found)
    assert found.advice == ("--attack strongest --gradient-free square:queries=5000",)
    bare = row(**{**BARE, "gradient_free": 60})
    assert bare.advice[-1] == "--attack strongest --gradient-free square:queries=5000"
    assert "upper bound" not in str(row(**{**FULL, "bpda": 0}))


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
    assert found.advice == ("--attack strongest --gradient-free square:queries=5000",)


def test_standing_is_read_from_the_records() -> None:
    samples = pd.DataFrame(
        {
            "index": [0, 1, 0, 1],
            "rung": ["clean", "clean", "bpda", "bpda"],
            "robust": [True, True, False, True],
        }
    )
    assert standing_of(samples).to_dict("list") == {"bpda": [False, True], "clean": [True, True]}
