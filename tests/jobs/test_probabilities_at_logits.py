"""What stands at the logits of a model that returns probabilities is given these, as where it is deployed."""

from pathlib import Path
from typing import Any

import pytest
import torch

import advbench as ab
from advbench.defended.output_kinds import HANDED_ON, PROBABILITIES, words_of

SOFT = """
import torch

import advbench


class Soft(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = advbench.load_model("digits-cnn")

    def forward(self, x):
        return self.network(x).softmax(1)
"""
SMALL: dict[str, Any] = {"data": "digits", "normalization": "none", "first": 12, "steps": 2}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "soft.py").write_text(SOFT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_defense_at_the_logits_is_given_probabilities_and_the_table_says_so(home: Path) -> None:
    seen: list[torch.Tensor] = []

    def watch(scores: torch.Tensor) -> torch.Tensor:
        seen.append(scores.detach().clone())
        return scores

    run = ab.run(
        model="soft.py:Soft", defenses={"watch": ab.Placement(watch, at="logits")}, out=home / "a", **SMALL
    )
    assert seen
    assert all(bool(((scores.sum(1) - 1.0).abs() < 1e-4).all()) for scores in seen)
    assert HANDED_ON in run.rows[0].notes
    assert "read_as" not in run.manifest["settings"]


def test_without_one_attacks_see_logarithms(home: Path) -> None:
    run = ab.run(model="soft.py:Soft", defenses=["round"], out=home / "b", **SMALL)
    assert words_of("probabilities") in run.rows[0].notes
    assert run.manifest["settings"]["read_as"] == PROBABILITIES
    plain = ab.run(defenses=["round"], out=home / "c", **SMALL)
    for one, other in zip(run.rows, plain.rows, strict=True):
        assert {rung: rate.count for rung, rate in one.rates.items()} == {
            rung: rate.count for rung, rate in other.rates.items()
        }
