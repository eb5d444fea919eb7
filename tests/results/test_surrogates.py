"""What is told of a surrogate, and from when on it is too little like the model."""

import pytest

from advbench.results.surrogates import Likeness


@pytest.mark.parametrize(("agreeing", "short"), [(90, False), (89, True), (100, False), (0, True)])
def test_below_nine_tenths_a_surrogate_falls_short(agreeing: int, short: bool) -> None:
    likeness = Likeness(name="soft", agreeing=agreeing, n=100)
    assert likeness.falls_short is short
    assert bool(likeness.doubt) is short
    assert f"on {agreeing} of 100 perturbed images" in likeness.sentence
    assert "fewer than 90 %" in likeness.doubt or not short


def test_of_a_stepwise_model_it_is_said_what_attacks_see() -> None:
    assert "move in steps" in Likeness(name="soft", agreeing=9, n=10, stepwise=True).sentence
    assert "move in steps" not in Likeness(name="soft", agreeing=9, n=10).sentence


def test_before_anybody_has_looked_nothing_falls_short() -> None:
    assert not Likeness(name="soft").falls_short
