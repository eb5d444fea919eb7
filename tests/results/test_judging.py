"""The rules by which random defenses are judged: what can be asked for, and what a table says of it."""

import pytest

from advbench.errors import InputError, SpecError
from advbench.results.judging import Judge, Judging, check_rule, judge_of


@pytest.mark.parametrize(
    ("rule", "submissions", "passes", "clean"),
    [
        ("majority", 5, 5, "majority"),
        ("mean", 5, 5, "mean"),
        ("any:3", 3, 5, "majority"),
        ("any:9", 9, 9, "majority"),
        ("fixed-seed", 5, 1, "fixed-seed"),
    ],
)
def test_a_rule_says_how_often_an_example_is_drawn(
    rule: str, submissions: int, passes: int, clean: str
) -> None:
    judge = Judge(rule, draws=5)
    assert (judge.submissions, judge.passes) == (submissions, passes)
    assert judge.of_clean == Judge(clean, 5), "resubmission binds the attacker alone"


@pytest.mark.parametrize("rule", ["any", "any:", "any:0", "any:-1", "any:1.5", "any:10000", "most", "", None])
def test_a_rule_that_there_is_not_is_refused(rule: str) -> None:
    message = "must be majority, mean, any:N with N from 1 to 9999, or fixed-seed, got "
    with pytest.raises(SpecError, match=f"judge {message}"):
        Judge(rule)
    with pytest.raises(SpecError, match=f"--judge {message}"):
        check_rule(rule, "--judge")


@pytest.mark.parametrize("draws", [0, -1, True, 2.5])
def test_no_draw_is_no_judge(draws: int) -> None:
    with pytest.raises(InputError, match="judge_draws must be at least 1, got"):
        judge_of(draws)


def test_a_number_of_draws_stands_for_their_majority() -> None:
    assert judge_of(9) == Judge("majority", 9)
    assert judge_of(Judge("mean", 9)) == Judge("mean", 9)


@pytest.mark.parametrize(
    ("rule", "random", "told"),
    [
        (
            "any:7",
            ("noise",),
            ["fools in any of 7 submissions", "clean images are judged by the majority of 5"],
        ),
        ("mean", ("noise",), ["mean is over 5 draws of all images", "images that stand in all 5"]),
        ("fixed-seed", ("noise",), ["the very draws that the attack saw", "no evidence"]),
        ("mean", (), ["nothing here is random: judged by mean, which says what the majority says"]),
    ],
)
def test_a_row_says_how_it_was_judged(rule: str, random: tuple[str, ...], told: list[str]) -> None:
    judging = Judging(rule=rule, draws=5, random=random)
    (note,) = judging.notes("noise")
    assert all(part in note for part in told)
    assert (judging.rule_of("noise") is None) == (not random)
    assert judging.rule_of("none") is None


def test_a_forged_heading_with_another_rule_is_refused() -> None:
    with pytest.raises(InputError, match="judge must be"):
        Judging(rule="best of all", draws=5)
