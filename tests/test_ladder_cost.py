"""The whole ladder costs little more than the attacks on its rungs."""

import pytest

from benchmarks.ladder_cost import held_out, passes_of


@pytest.mark.slow
def test_search_indicators_and_verdict_cost_less_than_a_third_of_the_attacks() -> None:
    data = held_out(360)
    attacks, whole = (passes_of("round", data, whole=each) for each in (False, True))
    assert attacks < whole <= 1.3 * attacks
