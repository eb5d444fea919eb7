"""What the checks before an attack cost is measured where a run makes them."""

from pathlib import Path

import advbench
from benchmarks.checks_cost import CHECKS, cost_of, own_file


def test_each_check_of_a_run_is_timed_and_they_are_a_part_of_it(tmp_path: Path) -> None:
    weights = Path(advbench.__file__).parent / "models/weights/digits-cnn.safetensors"
    own = own_file(tmp_path, "digits_cnn", "DigitsCNN")
    cost = cost_of({"model": own, "checkpoint": weights, "data": "digits", "limit": 64})
    assert cost.checks.keys() == CHECKS.keys()
    assert cost.checks["normalisation"] > 0.0
    assert cost.checks["copies"] > 0.0
    assert cost.checks["order"] > 0.0
    assert 0.0 < cost.share < 1.0
    known = cost_of({"data": "digits", "limit": 64})
    assert known.checks["normalisation"] < cost.checks["normalisation"]


def test_the_digits_take_less_than_half_a_second(tmp_path: Path) -> None:
    weights = Path(advbench.__file__).parent / "models/weights/digits-cnn.safetensors"
    own = own_file(tmp_path, "digits_cnn", "DigitsCNN")
    cost = cost_of({"model": own, "checkpoint": weights, "data": "digits"})
    assert sum(cost.checks.values()) < 0.5
