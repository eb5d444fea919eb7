"""Verdicts on classifiers that hide their gradients in different ways, and on some that do not."""

from pathlib import Path

import pandas as pd
import pytest

from advbench import cli
from benchmarks.gallery import EXHIBITS, Exhibit, look_at

MNIST = (
    "--model lenet5 --dataset mnist --first 50 --batch-size 50 --ladder --gradient-free square:queries=500"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "verdicts"),
    [
        (
            "mnist_lenet5_clntrained.pt --eps 0.15 --defense round:step=0.25 --defense jpeg:quality=10",
            ["not robust", "masked", "masked"],
        ),
        ("mnist_lenet5_advtrained.pt --eps 0.3 --attack strongest", ["robust as measured"]),
    ],
    ids=["trained on clean images", "adversarially trained"],
)
def test_verdicts_on_mnist_are_right(words: str, verdicts: list[str], shared: Path, tmp_path: Path) -> None:
    given = f"attack --checkpoint {shared}/checkpoints/{words} {MNIST} --data-root {shared}/data/mnist"
    assert cli.main([*given.split(), "--out", str(tmp_path / "run")]) == 0
    table = pd.read_csv(tmp_path / "run/table.csv")
    assert [each.partition(":")[0] for each in table["verdict"]] == verdicts


@pytest.mark.slow
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=[each.name for each in EXHIBITS])
def test_the_verdict_is_right_and_names_its_evidence(exhibit: Exhibit) -> None:
    row = look_at(exhibit)
    assert row.verdict.startswith(exhibit.expected)
    assert exhibit.evidence in row.verdict
