"""`--judge` by real runs: what is written, hashed, resumed, verified and reported."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import advbench
from advbench import cli
from advbench.errors import SpecError
from advbench.jobs.settings.in_files import values_of
from advbench.jobs.settings.run import RunSettings
from advbench.reports.formats import render
from advbench.reports.grid import grid
from advbench.reports.html_table import html_table
from advbench.reports.page import _table as _page_table
from advbench.reports.style import PLAIN

SMALL: dict[str, Any] = {
    "first": 24,
    "steps": 3,
    "eot": 2,
    "judge_draws": 5,
    "defenses": ["noise:sigma=0.3"],
    "save_adversarial": True,
    "formats": "csv,markdown,latex,json",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, advbench.Run]:
    folder = tmp_path_factory.mktemp("judged")
    rules: dict[str, Any] = {"default": {}, "majority": {"judge": "majority"}}
    rules |= {rule: {"judge": rule} for rule in ("mean", "any:7", "fixed-seed")}
    return {
        name: advbench.run(out=folder / name.replace(":", "-"), **SMALL, **rule)
        for name, rule in rules.items()
    }


def test_the_majority_said_or_not_is_one_run(runs: dict[str, advbench.Run]) -> None:
    default, said = runs["default"], runs["majority"]
    assert default.manifest["hash"] == said.manifest["hash"]
    assert "judge" not in default.manifest["settings"]
    assert "judging" not in default.manifest["heading"]
    pd.testing.assert_frame_equal(default.frame, said.frame)
    assert render(default.rows, "markdown") == render(said.rows, "markdown")
    added = [name for name in default.frame.columns if "_mean_accuracy" in name or "_any_" in name]
    assert not added
    assert "judge" not in default.frame.columns
    assert "judge" not in values_of(RunSettings()), "so that the folders of earlier curves are found again"


def test_each_rule_has_a_hash_of_its_own(runs: dict[str, advbench.Run]) -> None:
    assert len({run.manifest["hash"] for run in runs.values()}) == len(runs) - 1
    assert runs["any:7"].manifest["settings"]["judge"] == "any:7"


@pytest.mark.parametrize("rule", ["mean", "any:7", "fixed-seed"])
def test_a_run_is_verified_read_again_and_resumed_by_its_rule(
    runs: dict[str, advbench.Run], rule: str
) -> None:
    run = runs[rule]
    checks = advbench.verify(run.path)
    assert all(check.holds for check in checks), [check.said for check in checks if not check.holds]
    assert any(check.what.endswith("shattered") for check in checks)
    again = advbench.open_run(run.path)
    assert again.rows == run.rows
    samples = run.samples.copy()
    (run.path / "samples.parquet").unlink()
    manifest = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    resumed = advbench.run(out=run.path, judge=rule, **SMALL)
    pd.testing.assert_frame_equal(resumed.samples, samples)
    assert resumed.rows == run.rows


def test_a_run_cannot_pass_for_one_of_another_rule(runs: dict[str, advbench.Run], tmp_path: Path) -> None:
    run = runs["any:7"]
    copy = tmp_path / "forged"
    copy.mkdir()
    for file in run.path.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(run.path)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    manifest = json.loads((copy / "run.json").read_text())
    del manifest["settings"]["judge"]
    (copy / "run.json").write_text(json.dumps(manifest))
    wrong = [check.what for check in advbench.verify(copy) if not check.holds]
    assert "run.json" in wrong
    assert "numbers of table.csv" in wrong


def test_tables_show_average_and_worst_side_by_side(runs: dict[str, advbench.Run]) -> None:
    (row,) = runs["any:7"].frame.query("judge != ''").to_dict("records")
    assert row["judge"] == "any:7"
    assert row["shattered_any_count"] == row["shattered_count"]
    assert row["shattered_any_accuracy"] == row["shattered_accuracy"]
    assert row["shattered_mean_low"] < row["shattered_mean_accuracy"] < row["shattered_mean_high"]
    assert "clean_any_accuracy" not in row
    (by_mean,) = runs["mean"].frame.query("judge != ''").to_dict("records")
    assert by_mean["shattered_mean_accuracy"] == row["shattered_mean_accuracy"]
    assert by_mean["shattered_count"] == runs["default"].frame["shattered_count"].iloc[1]
    rows = runs["any:7"].rows
    mean = PLAIN.number(float(row["shattered_mean_accuracy"]))
    worst = PLAIN.number(float(row["shattered_any_accuracy"]))
    texts = [
        render(rows, "markdown", {}, PLAIN),
        render(rows, "latex", {}, PLAIN),
        html_table(rows),
        _page_table(rows, PLAIN),
    ]
    texts += [" ".join(grid(rows, intervals=False).lines[1])]
    for text in texts:
        assert f"mean {mean}" in text
        assert f"any {worst}" in text
        assert "~" not in grid(rows).lines[1][2], "the mean is told once"


def test_a_rule_for_what_draws_nothing_is_one_note(tmp_path: Path) -> None:
    run = advbench.run(
        out=tmp_path / "run", first=8, steps=1, defenses=["round"], judge="mean", save_adversarial=True
    )
    (note,) = {note for row in run.rows for note in row.notes}
    assert note == "nothing here is random: judged by mean, which says what the majority says"
    assert not any("_mean_" in name for name in run.frame.columns)
    assert all(check.holds for check in advbench.verify(run.path))


@pytest.mark.parametrize("rule", ["any:0", "any", "median", "any:3.5"])
def test_another_rule_is_refused_in_a_sentence(
    rule: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="judge= must be majority, mean, any:N"):
        advbench.run(judge=rule, out=tmp_path / "run")
    assert cli.main(["attack", "--judge", rule, "--out", str(tmp_path / "run")]) == 2
    assert "--judge must be majority, mean, any:N" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_a_sweep_has_the_key(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(
        '[defaults]\nmodel = "digits-cnn"\ndataset = "digits"\nfirst = 8\nsteps = 1\neot = 1\n'
        'judge = "any:3"\njudge_draws = 3\n[[defenses]]\ndefense = "noise"\n[[attacks]]\nattack = "pgd"\n'
    )
    swept = advbench.sweep(file, out=tmp_path / "out")
    assert {row.judge for row in swept.rows} == {"", "any:3"}, "the undefended model draws nothing"
