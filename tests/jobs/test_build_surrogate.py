"""`--surrogate` and `--source` by real runs: made of words, written down, verified and refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import advbench
from advbench.errors import InputError
from advbench.jobs.sweep.cells import make_cells
from advbench.jobs.sweep.file import grid_of_tables

SIGNS = """
import torch

import advbench


class Signs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = advbench.load_model("digits-cnn").eval()

    def forward(self, x):
        return self.network(0.5 + 0.5 * torch.sign(x - 0.4))
"""

CODE = """
import torch
from torch import nn

import advbench


class Hard(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = advbench.load_model("digits-cnn").eval()

    def forward(self, x):
        with torch.no_grad():
            return nn.functional.one_hot(self.network(x).argmax(1), 10).float()


def soft(model):
    return model.network


def scaled(model, factor: float = 2.0):
    return lambda x: factor * model.network(x)


def nine(x):
    return x.flatten(1)[:, :9]


def broken():
    raise ValueError("no weights")


def nothing():
    return 3


number = 3
made = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""

SMALL: dict[str, Any] = {
    "model": "own.py:Hard",
    "data": "digits",
    "mean": "0",
    "std": "1",
    "first": 24,
    "steps": 5,
    "ladder": True,
    "gradient_free": "square:queries=20",
    "save_adversarial": True,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _wrong(checks: list[Any]) -> list[str]:
    return [check.said for check in checks if not check.holds]


def test_a_soft_version_fells_what_its_model_hides_and_is_verified(home: Path) -> None:
    run = advbench.run(surrogate="own.py:soft", defenses=["round"], out=home / "run", **SMALL)
    none, behind = run.rows
    assert none.rates["shattered"].count >= 22
    assert none.rates["bpda"].count <= 4
    assert behind.rates["bpda"].count <= 8
    assert none.substitute == "own.py:soft"
    settings = run.manifest["settings"]
    assert settings["surrogate"]["name"] == "own.py:soft"
    assert "source" not in settings
    own: dict[str, Any] = {"model": "own.py:Hard"}
    assert not _wrong(advbench.verify(run.path, **own))
    unnamed = advbench.verify(run.path, deep=True, **own)
    assert any("code of the user's own" in check.said for check in unnamed)
    assert not _wrong(advbench.verify(run.path, deep=True, surrogate="own.py:soft", **own))
    other = advbench.verify(run.path, deep=True, surrogate="own.py:scaled", **own)
    assert "it is not the one that the run had" in _wrong(other)
    manifest = json.loads((run.path / "run.json").read_text())
    manifest["heading"]["surrogate"]["agreeing"] = 1
    (run.path / "run.json").write_text(json.dumps(manifest))
    assert _wrong(advbench.verify(run.path, **own))


def test_a_distilled_one_is_kept_and_distilled_again(home: Path) -> None:
    settings = {**SMALL, "ladder": False}
    run = advbench.run(surrogate="distill", out=home / "run", **settings)
    assert run.manifest["settings"]["surrogate"] == {"name": "distill"}
    (file,) = (run.path / "substitutes").glob("distill-*.safetensors")
    checks = advbench.verify(run.path, model="own.py:Hard", deep=True)
    assert not _wrong(checks)
    assert {"static", "shattered", "bpda"} <= set(run.rows[0].rates)
    file.unlink()
    assert any(
        "fitted network is missing" in said for said in _wrong(advbench.verify(run.path, model="own.py:Hard"))
    )


def test_soft_steps_are_graded_and_softened_again(home: Path) -> None:
    (home / "signs.py").write_text(SIGNS)
    own: dict[str, Any] = {"model": "signs.py:Signs"}
    settings = {**SMALL, **own, "ladder": False}
    run = advbench.run(surrogate="soft-steps", out=home / "run", **settings)
    assert run.manifest["settings"]["surrogate"] == {"name": "soft-steps"}
    assert run.rows[0].substitute.startswith("soft-steps:width=")
    assert not _wrong(advbench.verify(run.path, deep=True, **own))
    manifest = json.loads((run.path / "run.json").read_text())
    del manifest["candidates"][-1]
    (run.path / "run.json").write_text(json.dumps(manifest))
    assert any("is not what was graded" in said for said in _wrong(advbench.verify(run.path, **own)))


def test_objects_and_sources_of_python_are_taken_and_no_static_rung_if_so_said(home: Path) -> None:
    network = advbench.load_model("digits-cnn").eval()
    settings = {**SMALL, "gradient_free": "square:queries=5", "ladder": False}
    run = advbench.run(surrogate={"soft": network}, source="digits-cnn", out=home / "a", **settings)
    assert run.manifest["objects"] == ["surrogate"]
    assert run.manifest["settings"]["source"]["name"] == "digits-cnn"
    assert run.rows[0].rates["static"].count <= 4
    assert not _wrong(advbench.verify(run.path, model="own.py:Hard", surrogate=network, deep=True))
    left = advbench.run(source="none", out=home / "b", **{**settings, "rungs": "static"})
    assert "static" not in left.rows[0].rates
    assert left.manifest["settings"]["source"] == {"name": "none"}
    plain = advbench.run(out=home / "c", **settings)
    assert not {"surrogate", "source"} & plain.manifest["settings"].keys()


REFUSED = [
    ({"surrogate": "soft"}, "a surrogate is distill, soft-steps, or code of your own"),
    ({"surrogate": "own.py:soft@input"}, "has no place"),
    ({"surrogate": "away.py:soft"}, "there is no file 'away.py'"),
    ({"surrogate": "own.py:Hard"}, "is the model itself"),
    ({"surrogate": "own.py:number"}, "cannot be called: int"),
    ({"surrogate": "own.py:made:a=3"}, "is made already and takes no parameters"),
    ({"surrogate": "own.py:broken"}, "own.py:broken failed: ValueError: no weights"),
    ({"surrogate": "own.py:nothing"}, "must return a torch.nn.Module or a function, got int"),
    ({"surrogate": "own.py:scaled:factors=3"}, "has no parameter 'factors'"),
    ({"surrogate": "own.py:nine"}, "must return logits of the model's shape"),
    ({"surrogate": nn.ReLU}, "Call it to make one"),
    ({"surrogate": 3}, "surrogate must be a word, a torch.nn.Module or a function"),
    ({"surrogate": "distill", "tests": "binarization"}, "which no surrogate= has: give one of both"),
    ({"source": "digits-cn"}, "Did you mean 'digits-cnn'"),
    ({"source": "own.py:nothing"}, "must return a torch.nn.Module"),
    ({"source": "away.py:net"}, "there is no file 'away.py'"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_what_cannot_stand_in_is_refused_and_nothing_written(
    home: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        advbench.run(out=home / "run", **{**SMALL, **given})
    assert not (home / "run").exists()


def test_a_sweep_looks_the_words_up_before_it_begins(home: Path) -> None:
    tables = {"defaults": {"surrogate": "away.py:soft", "dataset": "digits"}, "attacks": ["pgd"]}
    with pytest.raises(InputError, match=r"there is no file 'away.py'"):
        make_cells(grid_of_tables(tables))
    (cell,) = make_cells(grid_of_tables({**tables, "defaults": {"surrogate": "distill", "source": "none"}}))
    assert cell.shared["surrogate"] == "distill"
