"""Tampering with runs of surrogates, declared batches, labels alone, resubmissions and planted examples."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import advbench as ab
from tests.forging import fit, manifest_of, repack, seal, write_manifest
from tests.jobs.test_build_surrogate import CODE
from tests.jobs.test_tampering import disagreeing
from tests.tampering_steps import candidate, edited, in_both

SOFT: Final = """
import torch

import advbench


class Soft(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = advbench.load_model("digits-cnn")

    def forward(self, x):
        return self.network(x).softmax(1)
"""
HARD: Final = {"model": "own.py:Hard"}
RUNS: Final[Mapping[str, dict[str, Any]]] = {
    "surrogate": {**HARD, "mean": "0", "std": "1", "surrogate": "own.py:soft", "defenses": ["round"]},
    "episodic": {"episodic": "8"},
    "label-only": {"label_only": "hard-label:queries=90"},
    "any": {"defenses": ["noise:sigma=0.2"], "judge": "any:4", "judge_draws": 5, "eot": 2},
    "binarization": {"tests": "binarization"},
}
SMALL: Final[Mapping[str, Any]] = {
    "data": "digits",
    "first": 12,
    "steps": 2,
    "save_adversarial": True,
    "formats": "csv",
}
WITH_CODE: Final[Mapping[str, dict[str, Any]]] = {"surrogate": {**HARD, "surrogate": "own.py:soft"}}


class Kind(NamedTuple):
    """A way to tamper with one of the runs, after which all is made to fit."""

    run: str
    name: str
    change: Callable[[Path], object]
    blamed: str
    deep: bool = False
    """Whether it takes the attacks to find it."""


def _of_all(indicators: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every problem of the binarization test is told as solved."""
    return [{**one, "part": one["whole"] if one["name"] == "binarization" else 0} for one in indicators]


FELL: Final = "not robust and queries > 0"
KINDS: Final = (
    Kind("surrogate", "a share of agreement", edited("heading", "surrogate", "agreeing", to=1), "sub", True),
    Kind(
        "surrogate", "more images", edited("heading", "surrogate", "n", to=10**6), "substitutes again", True
    ),
    Kind("surrogate", "steps", edited("heading", "surrogate", "stepwise", to=False), "sub", True),
    Kind("surrogate", "more than there are", edited("heading", "surrogate", "agreeing", to=10**6), "substit"),
    Kind("surrogate", "another name", edited("heading", "surrogate", "name", to="distill"), "run.json"),
    Kind("surrogate", "another source", edited("heading", "source", to="digits-cnn"), "run.json"),
    Kind("surrogate", "a grade", candidate(1, agreement=0.5), "substitutes again", True),
    Kind("surrogate", "a grade of more than there are", candidate(1, standing=99), "substitutes/"),
    Kind(
        "surrogate",
        "a static example that fooled",
        in_both("rung == 'static' and not robust", "robust", lambda _: True),
        "none · pgd:steps=2 · static",
    ),
    Kind("surrogate", "queries of none", in_both("rung == 'static'", "queries", lambda _: 3), "records"),
    Kind("surrogate", "a clean image's steps", in_both("rung == 'clean'", "steps", lambda _: 3), "records"),
    Kind("episodic", "no word of the batches", edited("heading", "notes", to=[]), "protocols"),
    Kind(
        "episodic",
        "a substitute that was none",
        edited("heading", "substitutes", "episodic:batch=8", to="identity"),
        "substitutes/",
    ),
    Kind(
        "episodic",
        "an image that fell",
        in_both(f"defense != 'none' and {FELL}", "robust", lambda _: True),
        "episodic:batch=8 · pgd:steps=2 · shattered",
    ),
    Kind(
        "episodic",
        "queries",
        in_both("defense != 'none' and queries > 0", "queries", lambda count: count - 1),
        "records again",
        True,
    ),
    Kind(
        "label-only",
        "an image that fell",
        in_both(f"rung == 'label_only' and {FELL}", "robust", lambda _: True),
        "none · hard-label:queries=90 · label_only",
    ),
    Kind(
        "label-only",
        "fewer queries",
        in_both("rung == 'label_only' and queries > 1", "queries", lambda count: count - 1),
        "records again",
        True,
    ),
    Kind("any", "draws of the judge", edited("heading", "judging", "draws", to=50), "run.json"),
    Kind("any", "nothing random", edited("heading", "judging", "random", to=[]), "numbers of table"),
    Kind("any", "more resubmissions", edited("settings", "judge", to="any:8"), "run.json"),
    Kind(
        "any",
        "an image that fell",
        in_both(f"defense != 'none' and {FELL}", "robust", lambda _: True),
        "noise:sigma=0.2 · pgd:steps=2 · shattered",
    ),
    Kind("binarization", "all solved", edited("heading", "indicators", to=_of_all), "indicators again", True),
    Kind("binarization", "no test", edited("heading", "indicators", to=[]), "indicators"),
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each run on a few digits, with its code beside."""
    home = tmp_path_factory.mktemp("originals")
    (home / "own.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        for name, words in RUNS.items():
            ab.run(**words, **SMALL, out=home / name)
    return home


@pytest.fixture
def home(originals: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(originals)
    return originals


@pytest.mark.parametrize("name", RUNS)
def test_runs_that_nobody_tampered_with_are_confirmed(home: Path, name: str) -> None:
    assert not disagreeing(ab.verify(home / name, deep=True, **WITH_CODE.get(name, {})))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.run}: {kind.name}")
def test_tampering_with_them_is_found(kind: Kind, home: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(home / kind.run, tmp_path / "run"))
    kind.change(run)
    if kind.blamed == "run.json":
        seal(run)  # no table can be made of such a run
    else:
        fit(run)
    own = WITH_CODE.get(kind.run, {})
    if kind.deep:
        assert not disagreeing(ab.verify(run, **own)), "it takes no attack to find it"
    wrong = disagreeing(ab.verify(run, deep=kind.deep, **own))
    assert any(name.startswith(kind.blamed) for name in wrong), wrong


def test_losses_of_a_version_that_took_probabilities_for_logits_are_not_held_to_their_logarithms(
    home: Path, tmp_path: Path
) -> None:
    (home / "soft.py").write_text(SOFT)
    own: dict[str, Any] = {"model": "soft.py:Soft"}
    run = ab.run(**own, **SMALL, normalization="none", out=tmp_path / "run").path
    assert manifest_of(run)["settings"]["read_as"] == "probabilities"
    assert not disagreeing(ab.verify(run, **own))
    in_both("rung == 'shattered' and queries > 0", "loss", lambda loss: loss + 0.3)(run)
    assert disagreeing(ab.verify(run, **own)) == ["none · pgd:steps=2 · shattered"]
    values = manifest_of(run)
    del values["settings"]["read_as"]
    write_manifest(run, values)
    repack(run)
    fit(run)
    assert not disagreeing(ab.verify(run, **own))
