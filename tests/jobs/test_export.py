"""`advbench export`: real runs in the formats of other programs."""

import json
import shutil
from pathlib import Path

import pytest

import advbench
from advbench import cli
from advbench.errors import InputError
from tests.reports.test_junit import marks_of
from tests.reports.test_sarif import log_of

RUN = "attack --defense round --substitute identity --ladder --first 12 --steps 4 --quiet --out run"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert cli.main(RUN.split()) == 0
    return home


@pytest.fixture(autouse=True)
def _there(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(home)
    capsys.readouterr()


def test_sarif_goes_to_stdout_with_the_command_that_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "run"]) == 0
    (run,) = log_of(capsys.readouterr().out)["runs"]
    assert [call["commandLine"] for call in run["invocations"]] == [f"advbench {RUN}"]
    rows = {row.defense: row for row in advbench.open_run("run").rows}
    for result in run["results"]:
        known = result["properties"]
        row = rows[known["traits"]["defense"]]
        assert row.verdict == f"{known['verdict']}: {known['evidence']}"
        assert known["rungs"]["worst"]["count"] == row.rates["worst"].count
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "run/run.json"


def test_junit_judges_the_defense_and_shows_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "run", "--format", "junit"]) == 0
    marks = marks_of(capsys.readouterr().out)
    assert len(marks) == 2
    assert marks["pgd:steps=4 none" if "pgd:steps=4 none" in marks else "pgd none"] == "skipped"


def test_python_gives_the_text_or_the_names(tmp_path: Path) -> None:
    text = advbench.export("run", formats="sarif", defenses=["round"])
    assert isinstance(text, str)
    assert len(json.loads(text)["runs"][0]["results"]) == 1
    names = advbench.export("run", formats=["sarif", "model-card"], out=tmp_path / "out")
    assert names == ["advbench.sarif", "model-card.md"]
    with pytest.raises(
        InputError, match="no row is of these defenses and attacks; there are: none under pgd"
    ):
        advbench.export("run", defenses=["jpeg"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format nothing", "there is no format 'nothing'"),
        ("--format=", "--format names no format; known: sarif, junit"),
        ("--format sarif,junit", "more than one format needs a folder for its files: --out DIR"),
        ("--out run", "holds a run, whose tables are part of its evidence"),
        ("--format robustbench --model-name A --defense round", "boards that fit are cifar10"),
    ],
)
def test_what_cannot_be_exported_is_said(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", "run", *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_forged_command_is_text(tmp_path: Path, home: Path) -> None:
    shutil.copytree(home / "run", tmp_path / "forged")
    record = tmp_path / "forged" / "run.json"
    forged = json.loads(record.read_text())
    forged["seal"] = None  # it would tell
    forged["command"] = ["advbench", "\ud800\x1b[2J", "</script>\n# <b>"]
    record.write_text(json.dumps(forged))
    for form in ("sarif", "junit", "model-card"):
        text = advbench.export(tmp_path / "forged", formats=form)
        assert isinstance(text, str)
        assert not {"\x1b", "\ud800"} & set(text.encode().decode())
        assert form == "sarif" or "<b>" not in text
