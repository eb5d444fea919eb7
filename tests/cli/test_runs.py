"""Doubts are told beside a table for machines, too."""

import json
from pathlib import Path

import pytest

from advbench.cli import main

RANDOM = """
import torch
from torch import nn


class Noisy(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :10] + torch.rand(len(x), 10)


def noisy():
    return Noisy()
"""
SWEEP = """
attacks = ["pgd:steps=1"]

[[models]]
model = "own.py:noisy"

[defaults]
dataset = "digits"
limit = 12
normalization = "none"
"""


@pytest.mark.parametrize(
    "words", ["attack --model own.py:noisy --dataset digits --limit 12 --steps 1", "sweep own.toml"]
)
def test_json_and_quiet_hide_no_doubt(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(RANDOM)
    Path("own.toml").write_text(SWEEP)
    assert main(f"{words} --out run --json --quiet".split()) == 0
    out, err = capsys.readouterr()
    assert [row["defense"] for row in json.loads(out)] == ["none"]
    assert err.count("warning (none): two passes over the same images differ: the model is random") == 1
