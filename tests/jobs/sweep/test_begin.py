"""`advbench init`: the sweep that it writes runs as it stands."""

import io
import sys
import tomllib
from pathlib import Path

import pytest

from advbench import cli
from advbench.data.registry import DATASETS
from advbench.jobs.settings.init import InitSettings
from advbench.jobs.sweep.begin import sweep_text
from advbench.jobs.sweep.cells import make_cells
from advbench.jobs.sweep.file import read_grid

HOSTILE = 'a"\n[defaults]\nfirst = 1\t\x7f\\ü'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_written_sweep_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "--yes", "--limit", "5", "--defense", "round"]) == 0
    assert capsys.readouterr().out == "written: sweep.toml\nnext: advbench sweep sweep.toml --dry-run\n"
    assert cli.main(["sweep", "sweep.toml", "--out", "done", "--quiet"]) == 0
    table = Path("done/table.csv").read_text()
    assert table.count("digits-cnn,digits,5,") == 2
    assert "not robust: 0 of 5 images" in table


def test_the_users_own_network_and_data_stand_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.py").write_text("import advbench.models.digits_cnn as known\nnet = known.DigitsCNN\n")
    words = [
        "init",
        "mine.toml",
        "-y",
        "--model",
        "net.py:net",
        "--data-root",
        "my data",
        "--dataset",
        "digits",
    ]
    assert cli.main([*words, "--defense", "jpeg:quality=75+round"]) == 0
    tree = tomllib.loads(Path("mine.toml").read_text())
    assert tree["models"] == [{"name": "net.py:net", "model": "net.py:net"}]
    assert (tree["defaults"]["data_root"], tree["defenses"]) == ("my data", ["jpeg:quality=75+round"])
    assert {cell.defense for cell in make_cells(read_grid(Path("mine.toml")))} >= {"jpeg:quality=75+round"}
    assert "mine.toml" in capsys.readouterr().out


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_its_usual_radius(dataset: str) -> None:
    tree = tomllib.loads(sweep_text(InitSettings(dataset=dataset)))
    assert tree["threats"] == [f"linf {DATASETS[dataset].eps}"]
    assert tree["defaults"]["dataset"] == dataset


def test_names_are_texts_whatever_they_hold() -> None:
    text = sweep_text(InitSettings(file=Path(HOSTILE), model=HOSTILE, checkpoint=Path(HOSTILE)))
    (model,) = tomllib.loads(text)["models"]
    assert (model["model"], model["checkpoint"]) == (HOSTILE, HOSTILE)


def test_a_file_that_is_there_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sweep.toml").write_text("# mine\n")
    assert cli.main(["init", "--yes"]) == 2
    assert "sweep.toml is there. Give another name, or --overwrite." in capsys.readouterr().err
    assert Path("sweep.toml").read_text() == "# mine\n"
    assert cli.main(["init", "--yes", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dataset digit", "there is no data set 'digit'. Did you mean 'digits'"),
        ("--defense rond", "Did you mean"),
        ("nowhere/sweep.toml", "nowhere is no folder"),
    ],
)
def test_what_would_not_run_is_not_written(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", "--yes", *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert not Path("sweep.toml").exists()


def test_on_a_terminal_it_asks_for_what_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = io.StringIO("\n\n\nround jpeg\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers)
    assert cli.main(["init", "--dataset", "digits"]) == 0
    tree = tomllib.loads(Path("sweep.toml").read_text())
    assert tree["defenses"] == ["round", "jpeg"]
    assert tree["models"][0]["model"] == "digits-cnn"
