"""A command takes what nobody has typed from the project's settings file, and says so."""

import json
from pathlib import Path

import pytest

import advbench
from advbench import cli

FILE = """
[attack]
first = 4
steps = 2
seed = 5
bpda = true
defense = ["round"]
columns = ["defense", "bpda"]
[sweep]
columns = "model,shattered"
[report]
columns = ["defense", "clean"]
digits = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ADVBENCH_SETTINGS", raising=False)
    (tmp_path / "advbench.toml").write_text(FILE)
    return tmp_path


def test_defaults_of_a_file_hold_are_told_and_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["attack", "--out", "run", "--seed", "6"]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0] == (
        'defaults of advbench.toml [attack]: first = 4, steps = 2, bpda = true, defense = ["round"], '
        'columns = "defense,bpda"'
    )
    assert "shattered" not in printed.out
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["settings"]["seed"] == 6
    assert manifest["settings"]["first"] == 4
    recorded = manifest["settings_file"]
    assert (recorded["file"], recorded["table"], len(recorded["sha256"])) == ("advbench.toml", "[attack]", 64)
    assert recorded["values"] == {
        "first": 4,
        "steps": 2,
        "bpda": True,
        "defense": ["round"],
        "columns": "defense,bpda",
    }

    # The words that are kept do the same without the file; the run is the same run.
    words = manifest["command"][1:]
    Path("advbench.toml").unlink()
    assert (
        cli.main([*words[: words.index("--out")], "--out", "again", *words[words.index("--out") + 2 :]]) == 0
    )
    again = json.loads(Path("again/run.json").read_text())
    assert again["hash"] == manifest["hash"]
    assert "settings_file" not in again
    assert advbench.open_run("again").rows == advbench.open_run("run").rows

    # What a file had added does not keep a run from being checked, reported and gone on with.
    capsys.readouterr()
    Path("advbench.toml").write_text(FILE)
    assert cli.main(["report", "run"]) == 0
    report = capsys.readouterr()
    assert report.err == ('defaults of advbench.toml [report]: columns = "defense,clean", digits = 3\n')
    assert "100.000" in report.out
    assert "BPDA" not in report.out.split("Accuracy")[0]
    assert cli.main(["report", "run", "--columns", "defense,bpda", "--out", "tables"]) == 0
    assert json.loads(Path("tables/report.json").read_text())["settings_file"]["values"] == {"digits": 3}


def test_quiet_no_settings_and_denials(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["attack", "--quiet", "--no-bpda", "--out", "a"]) == 0
    assert capsys.readouterr().err == ""
    manifest = json.loads(Path("a/run.json").read_text())
    assert "bpda" not in manifest["settings_file"]["values"]
    assert manifest["settings"]["rungs"] == ["shattered"]
    assert cli.main(["attack", "--no-settings", "--first", "2", "--steps", "1", "--quiet", "--out", "b"]) == 0
    manifest = json.loads(Path("b/run.json").read_text())
    assert "settings_file" not in manifest
    assert manifest["settings"]["defenses"] == {}
    assert cli.main(["attack", "--bpda", "--no-bpda"]) == 2
    assert "--bpda and --no-bpda are both given; give one." in capsys.readouterr().err


def test_a_curve_has_the_defaults_and_a_sweep_keeps_its_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["attack", "--eps", "0.05,0.1", "--first", "2", "--no-bpda", "--out", "curve"]) == 0
    assert json.loads(Path("curve/sweep.json").read_text())["settings_file"]["values"]["steps"] == 2
    Path("grid.toml").write_text('defenses = ["jpeg"]\n[defaults]\nfirst = 2\nsteps = 1\n')
    capsys.readouterr()
    assert cli.main(["sweep", "grid.toml", "--out", "sweep"]) == 0
    assert 'defaults of advbench.toml [sweep]: columns = "model,shattered"' in capsys.readouterr().err
    (run,) = Path("sweep/runs").iterdir()
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert settings["seed"] == 0  # [attack] is no part of a sweep
    assert set(settings["defenses"]) == {"jpeg"}


def test_python_knows_nothing_of_the_file(project: Path) -> None:
    run = advbench.run(first=2, steps=1, out="run")
    assert run.manifest["settings"]["seed"] == 0
    assert "settings_file" not in run.manifest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[attack]\nfrist = 4\n", "advbench.toml, line 2: [attack] there is no option 'frist'. Did you mean"),
        ("[attack]\neps = 8\n", "Did you mean 8/255? (--eps is eps of advbench.toml, line 2)"),
        ('[attack]\ncolumns = "clena"\n', "(--columns is columns of advbench.toml, line 2)"),
        ("[finetune]\nlr = true\n", "advbench.toml, line 2: [finetune] lr: it must be a number, got True."),
    ],
)
def test_a_fault_of_the_file_is_one_line_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    Path("advbench.toml").write_text(text)
    assert cli.main(["attack", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in project.iterdir()] == ["advbench.toml"]


def test_the_doctor_names_the_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("settings file: advbench.toml with [attack], [sweep], [report], SHA-256 ")
    Path("advbench.toml").write_text("[attack]\nfrist = 4\n")
    assert cli.main(["doctor", "--no-settings"]) == 0
    assert "settings file: WRONG: advbench.toml, line 2: " in capsys.readouterr().out
    Path("advbench.toml").unlink()
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "settings file: none"


def test_a_place_behind_the_name_of_a_data_set_is_the_one_place(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("advbench.toml").write_text('[attack]\ndata_root = "elsewhere"\n')
    assert cli.main(["attack", "--model", "digits-cnn", "--dataset", "csv:none.csv"]) == 2
    assert "data set 'csv' at none.csv: there is no such folder" in capsys.readouterr().err
