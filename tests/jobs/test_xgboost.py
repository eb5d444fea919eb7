"""A gradient-boosted estimator of XGBoost on pixels, by the file that fits it."""

import json
from pathlib import Path

import pytest

from advbench import cli

FIT = """
import xgboost
from advbench.data.digits import load

def make():
    digits = load()
    x = (digits.images / 16).reshape(len(digits.images), -1).astype("float32")
    trees = xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1)
    return trees.fit(x[~digits.is_test], digits.labels[~digits.is_test])
"""


def test_an_estimator_of_xgboost_is_attacked_by_its_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xgboost", reason="xgboost is not installed: pip install xgboost")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trees.py").write_text(FIT)
    words = "attack --model trees.py:make --black-box --black-box-form nhwc,float --dataset digits --limit 10"
    assert cli.main([*words.split(), "--out", "run", "--attack", "square:queries=20", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    row = row[0] if isinstance(row, list) else row["rows"][0]
    assert row["clean_count"] >= 8, "five rounds of trees are right on most digits"
    assert row["shattered_count"] < row["clean_count"]
    assert "gives probabilities" in (tmp_path / "run/run.json").read_text()
