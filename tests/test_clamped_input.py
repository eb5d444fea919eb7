"""A published network behind `x.clamp(0, 1)` is the same function on images, and must stand as often."""

import csv
from pathlib import Path

import pytest

from advbench.cli import main

pytestmark = pytest.mark.slow

IMAGES = 100


def standing(shared: Path, out: Path, factory: str, *words: str) -> int:
    """How many images an attack leaves of the first ones of MNIST."""
    case = shared / "cases/clamped_input.py"
    given = ("attack", "--quiet", "--out", out, "--model", f"{case}:{factory}", "--mean", "0", "--std", "1")
    data = ("--dataset", "mnist", "--data-root", shared / "data/mnist", "--first", IMAGES)
    assert main([str(each) for each in (*given, *data, *words)]) == 0
    with (out / "table.csv").open() as file:
        (row,) = csv.DictReader(file)
    return int(row["shattered_count"])


@pytest.mark.parametrize(("attack", "steps"), [("pgd", "40"), ("apgd", "20")])
def test_a_network_that_clamps_its_images_stands_as_often_as_without(
    attack: str, steps: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVBENCH_SHARED", str(shared))
    words = ("--attack", attack, "--eps", "0.15", "--steps", steps)
    plain = standing(shared, tmp_path / "plain", "plain", *words)
    clamped = standing(shared, tmp_path / "clamped", "clamped", *words)
    again = standing(shared, tmp_path / "again", "plain", *words, "--seed", "1")
    assert plain < IMAGES // 4  # with the derivative from outside, 60 and 63 of 100 stand
    assert abs(clamped - plain) <= max(2, abs(again - plain))
