"""Advice never repeats what was done."""

import pytest

from advbench.attacks import Square
from advbench.results.advice import Setup, about, about_gradient, by_margin, stronger
from advbench.results.indicators import MEANINGS


@pytest.mark.parametrize(
    ("attack", "climbs"),
    [
        ("pgd", True),
        ("pgd:steps=100", True),
        ("apgd:loss=dlr,targets=9", False),
        ("pgd:loss=margin", False),
        ("strongest", False),
        ("fab", False),
    ],
)
def test_which_attacks_follow_the_cross_entropy_alone(attack: str, climbs: bool) -> None:
    assert Setup(defense="none", attack=attack).climbs_cross_entropy is climbs


def queries(gradient_free: str) -> str:
    """What is advised after the strongest attack of gradients, where queries have been spent so."""
    return stronger(Setup(defense="round", attack="strongest", gradient_free=gradient_free))


@pytest.mark.parametrize(
    ("done", "advised"),
    [
        ("", "--gradient-free square:queries=5000"),
        ("square:queries=100", "--gradient-free square:queries=5000"),
        ("square:queries=1000", "--gradient-free square:queries=5000"),
        ("square:queries=5000", "--gradient-free square:queries=25000"),
        ("square", "--gradient-free square:queries=25000"),
        ("square:share=0.3", "--gradient-free square:queries=25000,share=0.3"),
        ("square:queries=20000,share=0.3", "--gradient-free square:queries=100000,share=0.3"),
        ("square:share=0.3,queries=20000", "--gradient-free square:queries=100000,share=0.3"),
        ("square:queries=50000", "--restarts 5"),
        ("square:share=0.3,queries=60000", "--restarts 5"),
        ("mine.py:search", "--gradient-free square:queries=5000"),
    ],
)
def test_a_stronger_look_takes_more_queries_than_were_spent(done: str, advised: str) -> None:
    assert queries(done) == advised


def test_what_square_spends_untold_is_its_default() -> None:
    assert queries("square") == queries(f"square:queries={Square().queries}")


@pytest.mark.parametrize(
    ("attack", "advised"),
    [
        ("pgd", "--attack pgd:loss=margin"),
        ("pgd:steps=40,loss=ce,restarts=2", "--attack pgd:loss=margin,steps=40,restarts=2"),
        ("apgd:steps=40", "--attack apgd:loss=margin,steps=40"),
        ("fgsm", "--attack pgd:loss=margin"),
    ],
)
def test_the_same_attack_is_advised_up_the_margin(attack: str, advised: str) -> None:
    setup = Setup(defense="none", attack=attack)
    assert by_margin(setup) == advised
    assert about("zero_gradient:ce", setup) == (advised,)
    again = Setup(defense="none", attack=advised.removeprefix("--attack "))
    assert about("zero_gradient:ce", again) == about_gradient(again), "not once more"


@pytest.mark.parametrize(
    ("substitute", "first"),
    [
        ("", "--bpda"),
        ("identity", "--substitute search"),
        ("soft; identity", "--substitute finite-difference"),
        ("finite-difference", "a smooth version of the defense: --substitute FILE.py:FUNCTION"),
        ("soft; finite-difference", "a smooth version of the defense: --substitute FILE.py:FUNCTION"),
    ],
)
def test_past_a_dead_gradient_leads_what_was_not_tried(substitute: str, first: str) -> None:
    setup = Setup(defense="round", attack="pgd", substitute=substitute)
    assert about_gradient(setup) == (first, stronger(setup))


@pytest.mark.parametrize("name", MEANINGS)
def test_every_indicator_has_advice(name: str) -> None:
    told = about(name, Setup(defense="round", attack="pgd", substitute="identity"))
    assert told
    assert all(told)


def test_a_model_without_defense_is_asked_for_the_step_that_hides_its_gradient() -> None:
    first, second, _ = about_gradient(Setup(defense="none", attack="pgd"))
    assert first.endswith("--defense FILE.py:STEP --bpda")
    assert second.endswith("--surrogate FILE.py:SOFT_MODEL, or --surrogate distill")


def test_a_model_with_a_surrogate_is_asked_for_a_closer_one() -> None:
    first, _ = about_gradient(Setup(defense="none", attack="pgd", surrogate="distill"))
    assert "a closer surrogate" in first
