"""The binarization test comes along where it is cheap, and a run says why it does not."""

from pathlib import Path
from typing import Any

import pytest

import advbench
from advbench.attacks import PGD, Square
from advbench.errors import SpecError
from advbench.jobs.affordable_tests import affordable, passes


def test_steps_queries_and_restarts_are_what_an_attack_costs() -> None:
    assert passes(Square(queries=70)) == 70
    assert passes(PGD(steps=10, restarts=4)) == 120
    own: Any = lambda *_: None  # noqa: E731  # an attack of the user's own
    assert passes(own) is None


def test_the_test_costs_the_same_however_many_images_there_are() -> None:
    attacks, queries = {"pgd": PGD(steps=40)}, {"square": Square(queries=1000)}
    # 3 rungs of 120 passes and 2 rows of 1000 queries, against 64 times 3 times 1221.
    assert affordable(994, 1, attacks, queries).tests == ("binarization",)
    few = affordable(993, 1, attacks, queries)
    assert few.tests == ()
    assert "it would add about 10 %" in few.left_out


def test_what_cannot_be_told_is_left_out() -> None:
    own: Any = lambda *_: None  # noqa: E731  # an attack of the user's own
    left_out = affordable(10**6, 0, {"mine": own}, {"square": Square()}).left_out
    assert "what mine costs is not known beforehand" in left_out


SETTINGS: dict[str, Any] = {"model": "digits-cnn", "limit": 8, "attacks": ["pgd:steps=2"], "tests": "auto"}


def test_a_small_run_leaves_it_out_and_records_none(tmp_path: Path) -> None:
    run = advbench.run(gradient_free="square:queries=10", out=tmp_path / "run", **SETTINGS)
    assert "tests" not in run.manifest["settings"]
    assert "worst" in run.rows[0].rates
    assert not (run.path / "indicators.csv").read_text().count("binarization")


def test_a_long_run_records_it_as_if_it_were_named(tmp_path: Path) -> None:
    run = advbench.run(gradient_free="square:queries=12000", out=tmp_path / "run", **SETTINGS)
    assert run.manifest["settings"]["tests"] == ["binarization"]


def test_auto_stands_alone() -> None:
    with pytest.raises(SpecError, match="auto says itself what is run"):
        advbench.run(**{**SETTINGS, "tests": ["auto", "binarization"]})
