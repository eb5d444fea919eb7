"""Detectors through the command line and Python's door: runs, verifications, other starts, bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import advbench as ab
from advbench import cli
from advbench.results.records import REFUSED

DETECTORS = """
import torch


def unsure(logits):
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return second - first


def for_model(model, factor: float = 1.0):
    return lambda x: factor * unsure(model(x))


def images(x):
    return x


def nan(x):
    return x.flatten(1).mean(1) * torch.nan


def inverted(x):
    return x.flatten(1).mean(1)


inverted.threshold = 0.0


def text(x):
    return "0.5"


def fails(x):
    raise ValueError("no features")
"""
QUICK = ("--first", "12", "--steps", "3", "--batch-size", "8", "--quiet")


def unsure(logits: Tensor) -> Tensor:
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return second - first


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.py").write_text(DETECTORS)


def attack(*words: str) -> int:
    return cli.main(["attack", *QUICK, *words])


def settings_of(run: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(run, "run.json").read_text())["settings"]
    return told


def test_a_run_behind_a_detector_is_verified_by_whoever_names_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert attack("--detector", "d.py:unsure@logits", "--save-adversarial", "--out", "run") == 0
    table = pd.read_csv("run/table.csv").set_index("defense")
    row = table.loc["d.py:unsure@refuse:logits"]
    assert row["clean_refused_count"] + row["clean_count"] <= 12
    assert row["static_refused_count"] > 0
    assert table["clean_refused_count"].isna()["none"]
    assert "refused" in Path("run/table.md").read_text()
    capsys.readouterr()
    assert cli.main(["verify", "run"]) == 2
    assert "name it again with --defense d.py:unsure@refuse:logits" in capsys.readouterr().err
    assert cli.main(["verify", "run", "--defense", "d.py:unsure@refuse:logits"]) == 0
    said = capsys.readouterr().out
    assert "ok     detectors: thresholds as recorded" in said
    assert " refused" in said


def test_clean_images_that_are_refused_are_verified_too() -> None:
    """Refused when clean is wrong, and nothing of it is random."""
    assert (
        attack("--detector", "d.py:unsure@logits", "--fpr", "0.4", "--save-adversarial", "--out", "run") == 0
    )
    table = pd.read_csv("run/table.csv").set_index("defense")
    assert table.loc["d.py:unsure@refuse:logits"]["clean_refused_count"] > 0
    assert cli.main(["verify", "run", "--defense", "d.py:unsure@refuse:logits"]) == 0


def test_a_forged_threshold_or_refusal_does_not_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert attack("--detector", "d.py:unsure@logits", "--save-adversarial", "--out", "run") == 0
    again = ["verify", "run", "--defense", "d.py:unsure@refuse:logits"]
    manifest = json.loads(Path("run/run.json").read_text())
    manifest["heading"]["detectors"]["d.py:unsure@refuse:logits"][0]["threshold"] += 1.0
    Path("run/run.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert cli.main(again) == 1
    assert "other thresholds than clean images give" in capsys.readouterr().out
    manifest["heading"]["detectors"]["d.py:unsure@refuse:logits"][0]["threshold"] -= 1.0
    Path("run/run.json").write_text(json.dumps(manifest))
    samples = pd.read_parquet("run/samples.parquet")
    mine = (samples["defense"] != "none") & (samples["rung"] == "static")
    samples.loc[mine & (samples["prediction"] == REFUSED), "prediction"] = samples["label"]
    samples.to_parquet("run/samples.parquet", index=False)
    assert cli.main(again) == 1
    assert "another prediction than recorded" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_with_the_same_threshold() -> None:
    words = ("--detector", "d.py:for_model:factor=2", "--fpr", "0.1")
    assert attack(*words, "--out", "whole") == 0
    shutil.copytree("whole", "half")
    parts = sorted(Path("half/parts").glob("*.parquet"))
    for part in parts[::2]:
        part.unlink()
    manifest = json.loads(Path("half/run.json").read_text())
    manifest["status"] = "interrupted"
    Path("half/run.json").write_text(json.dumps(manifest))
    assert attack(*words, "--out", "half") == 0
    assert ab.open_run("whole").rows == ab.open_run("half").rows
    assert settings_of("half")["fpr"] == 0.1


def test_python_takes_a_function_and_verifies_it_given_again() -> None:
    guard = ab.Placement(ab.Detector(unsure), "logits")
    run = ab.run(detector=guard, first=12, steps=3, save_adversarial=True, out="run", defenses=["round"])
    assert [row.defense for row in run.rows] == ["none", "round+unsure@refuse:logits"]
    refused = run.rows[1].rates["clean"].refused
    assert refused is not None
    assert run == ab.open_run("run")
    with pytest.raises(ab.AdvbenchError, match="objects that no word names"):
        ab.verify("run")
    chain = (*ab.defense("round"), guard)
    checks = ab.verify("run", defenses={"round+unsure@refuse:logits": chain})
    assert all(check.holds for check in checks), checks
    alone = ab.run(
        detector={"guard": lambda x: x.flatten(1).mean(1)}, fpr=0.5, first=12, steps=1, out="other"
    )
    assert [row.defense for row in alone.rows] == ["none", "guard"]
    assert "static" in alone.rows[1].rates


def test_runs_without_a_detector_say_nothing_of_any() -> None:
    assert attack("--out", "run") == 0
    manifest = Path("run/run.json").read_text()
    assert not any(word in manifest for word in ("detector", "fpr", "reject"))
    assert "refused" not in Path("run/table.csv").read_text() + Path("run/table.md").read_text()


ABSTAINING = """
import torch
import advbench as ab

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = ab.load_model()

    def forward(self, x):
        logits = self.model(x)
        second = logits.topk(2, dim=1).values[:, 1]
        return torch.cat([(second + 4.0)[:, None], logits], dim=1)

make = Net
"""


class Abstaining(nn.Module):
    """The digits model with an eleventh output, at the front, that is larger where it is unsure."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ab.load_model()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        second = logits.topk(2, dim=1).values[:, 1]
        return torch.cat([(second + 4.0)[:, None], logits], dim=1)


def test_a_class_that_refuses_is_a_detector_of_the_models_own() -> None:
    run = ab.run(
        model=Abstaining(),
        data="digits",
        reject_class="0",
        first=12,
        steps=5,
        out="run",
        save_adversarial=True,
    )
    assert [row.defense for row in run.rows] == ["none", "reject-class:reject=0@refuse:outputs"]
    assert run.rows[0].rates["clean"].count >= 11
    static = run.rows[1].rates["static"].refused
    assert static is not None
    assert static.images > 6
    assert "its own threshold" in run.rows[1].notes[-2] + run.rows[1].notes[-1]
    assert all(check.holds for check in ab.verify("run", model=Abstaining()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detector", "no.py:f"], "there is no file 'no.py'"),
        (["--detector", "d.py:nothing"], "'d.py' has no 'nothing'"),
        (["--detector", "round"], "a detector is code of your own"),
        (["--detector", "d.py:unsure+d.py:nan"], "a detector is no chain"),
        (["--fpr", "0.1"], "--fpr says how many clean images a detector may refuse, and there is none"),
        (["--detector", "d.py:unsure:k=1"], "detector 'd.py:unsure' has no parameter 'k'"),
        (["--detector", "d.py:unsure@nowhere"], "the model has no module 'nowhere'"),
        (["--detector", "d.py:images"], "detector images must return one score an image, ("),
        (["--detector", "d.py:nan"], "detector nan must give finite scores, got NaN or infinity for"),
        (["--detector", "d.py:text"], "must return a tensor or an array, got str"),
        (["--detector", "d.py:fails"], "failed on a batch of shape"),
        (["--detector", "d.py:inverted"], "clean images at its threshold 0, more than half"),
        (["--detector", "d.py:unsure", "--fpr", "0.7"], "in [0, 0.5], got 0.7"),
        (["--reject-class", "ten"], "--reject-class must be the number of a class, or nan, got 'ten'"),
        (["--reject-class", "10"], "have no class 10 that could refuse"),
        (
            ["--detector", "d.py:unsure", "--detector=d.py:nan"],
            "--detector may be given once, got it 2 times; several stand in a chain: --defense a@refuse+b@",
        ),
        (["--reject-class", "1", "--reject-class", "2"], "--reject-class may be given once, got it 2 times"),
        (["--defense", "reject-class:reject=3@refuse:outputs"], "no class for what it refuses"),
        (["--defense", "d.py:unsure@refuse:"], "names no place"),
    ],
)
def test_what_cannot_refuse_ends_the_run_before_anything_is_written(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attack(*words, "--out", "run") == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not Path("run").exists()


def test_sweeps_and_curves_carry_detectors() -> None:
    few: dict[str, Any] = {"first": 4, "steps": 1, "fpr": 0.1}
    grid = {"attacks": ["pgd"], "defenses": ["none", "d.py:unsure@refuse:logits"], "defaults": few}
    swept = ab.sweep(grid, out="sweep")
    assert [row.may_refuse for row in swept.rows] == [False, True]
    curve = ab.curve(eps=[0.05, 0.1], detector="d.py:unsure@logits", out="curve", **few)
    assert [row.may_refuse for row in curve.rows] == [False, True, False, True]
    assert len({note for row in curve.rows for note in row.notes if "refuses scores above" in note}) == 1


def test_a_class_that_refuses_goes_with_several_radii() -> None:
    Path("abstaining.py").write_text(ABSTAINING)
    words = "--model abstaining.py:make --dataset digits --normalization none --reject-class 0 --eps 0.05,0.1"
    assert cli.main(["attack", *words.split(), *QUICK, "--out", "curve"]) == 0
    table = pd.read_csv("curve/table.csv")
    refusing = table[table["defense"] == "reject-class:reject=0@refuse:outputs"]
    assert sorted(refusing["eps"]) == [0.05, 0.1]
    assert refusing["static_refused_count"].notna().all()


def test_that_bfloat16_is_left_out_behind_a_detector_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--detector d.py:unsure@logits --precision bf16 --first 8 --steps 2 --batch-size 8 --out run"
    assert cli.main(["attack", *words.split()]) == 0
    assert "in float32 alone, as bfloat16 knows nothing of what may refuse an image: d.py:unsure" in (
        capsys.readouterr().err
    )
