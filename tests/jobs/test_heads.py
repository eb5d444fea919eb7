"""Heads through the command line and Python's door: runs, verifications, bad input."""

import json
from pathlib import Path

import pytest
import torch

import advbench as ab
from advbench import cli

HEADS = """
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import advbench as ab


def tree(model, depth: int = 10, width: int = 256):
    digits = load_digits()
    x = torch.tensor(digits.images[:400, None] / 16).float()
    seen = ab.features(model, x, "layer3")[:, :width]
    return DecisionTreeClassifier(max_depth=depth, random_state=0).fit(seen, digits.target[:400])


class Code:
    "Signs of the logits, and the nearest code word."

    def __call__(self, logits):
        return (logits.sign() @ (2 * torch.eye(10) - 1)).argmax(1)

    def soft(self, logits):
        return logits.tanh() @ (2 * torch.eye(10) - 1)


def unfitted():
    return SVC()


def rows(features):
    return torch.zeros(3, 10)


def nan(features):
    return features * torch.nan


def beyond(features):
    return torch.full((len(features),), 12)
"""
QUICK = ("--first", "10", "--steps", "3", "--batch-size", "8", "--quiet")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("h.py").write_text(HEADS)


def attack(*words: str) -> int:
    return cli.main(["attack", *QUICK, *words])


def test_a_run_behind_a_head_is_verified_by_whoever_names_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--head", "h.py:tree:depth=8@layer3", "--substitute", "learned")
    assert attack(*words, "--save-adversarial", "--out", "run") == 0
    manifest = json.loads(Path("run/run.json").read_text())
    (link,) = manifest["settings"]["defenses"]["h.py:tree:depth=8@head:layer3"]
    assert link["head"] is True
    assert link["at"] == "layer3"
    assert link["depth"] == 8
    assert list(Path("run/substitutes").glob("learned-*.safetensors"))
    capsys.readouterr()
    assert cli.main(["verify", "run", "--defense", "h.py:tree:depth=8@head:layer3", "--deep"]) == 0
    said = capsys.readouterr().out
    assert "ok     substitutes again" in said
    assert "FAILED" not in said


def test_a_head_joins_each_defense_and_finds_its_soft_version() -> None:
    words = ("--defense", "round", "--head", "h.py:Code", "--substitute", "identity+soft")
    assert attack(*words, "--out", "run") == 0
    heading = json.loads(Path("run/run.json").read_text())["heading"]
    assert heading["substitutes"]["round+h.py:Code@head"] == "identity+soft"


def test_python_takes_estimators_functions_and_placements() -> None:
    net = ab.load_model("digits-cnn").eval()
    first = ab.run(head=lambda logits: 100 * logits, first=8, steps=1, out="one")
    assert first.rows[1].rates["clean"].count == first.rows[0].rates["clean"].count
    head = ab.Head(net.get_submodule("linear"), name="linear")
    second = ab.run(
        head=ab.Placement(head, at="layer3"), model=net, dataset="digits", first=8, steps=1, out="two"
    )
    assert [row.defense for row in second.rows] == ["none", "linear@head:layer3"]
    assert second.rows[1].rates["clean"].count == second.rows[0].rates["clean"].count
    with pytest.raises(ab.AdvbenchError, match="Call it"):
        ab.run(head=torch.nn.ReLU, first=8, out="three")


def test_runs_without_a_head_say_nothing_of_any() -> None:
    assert attack("--defense", "round", "--out", "run") == 0
    assert "head" not in json.loads(Path("run/run.json").read_text())["settings"]["defenses"]["round"][0]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("h.py:unfitted@layer3", "head unfitted is not fitted"),
        ("h.py:rows", "must return scores (8, classes) or whole-number labels (8,) for 8 images"),
        ("h.py:nan", "must give finite scores, got NaN or infinity for"),
        ("h.py:beyond", "gives labels 12 to 12, and the classes are 0 to 9"),
        ("h.py:tree:width=8@layer3", "X has 256 features, but DecisionTreeClassifier is expecting 8"),
        ("h.py:tree@nowhere", "the model has no module 'nowhere'"),
        ("h.py:nothing", "has no 'nothing'"),
        ("round", "a head is code of your own"),
        ("h.py:rows+h.py:nan", "a head is no chain"),
        ("h.py:rows@head:", "names no place after 'head:'"),
    ],
)
def test_a_head_that_cannot_be_used_ends_in_a_line(
    head: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attack("--head", head, "--out", "run") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("run").exists()
