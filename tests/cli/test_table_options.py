"""How a run's tables look: asked for on the command line, kept in the run, and checked with it."""

import json
from pathlib import Path

import pytest

from advbench import cli

SMALL = "--first 8 --steps 1 --defense round --bpda --substitute identity --quiet"
LOOK = "--columns bpda,defense --sort -bpda --fraction --digits 2"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_table_looks_as_asked_in_its_file_on_the_terminal_and_when_it_is_verified(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = f"attack {SMALL} {LOOK} --out run --format csv,markdown,latex --save-adversarial"
    assert cli.main(words.split()) == 0
    lines = Path("run/table.md").read_text().splitlines()
    assert lines[2] == "| defense | BPDA |"
    assert lines[4].startswith("| round | 0.")
    assert lines[5] == "| none | – |"
    printed = capsys.readouterr().out
    assert "shattered" not in printed.splitlines()[2]
    assert printed.index("round") < printed.index("none")
    assert "round & " in Path("run/table.tex").read_text()
    assert cli.main(["verify", "run"]) == 0
    assert "numbers of table.md: what the records come to" in capsys.readouterr().out


def test_a_forged_look_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(f"attack {SMALL} --out run --save-adversarial".split()) == 0
    manifest = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**manifest, "tables": {"columns": ["<b>"]}}))
    assert cli.main(["verify", "run"]) == 1
    assert "a table has no column" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--columns defence", "no column 'defence'"),
        ("--sort -x", "no column 'x'"),
        ("--digits 99", "--digits must lie in [0, 12], got 99"),
        ("--columns clean,clean", "twice"),
    ],
)
@pytest.mark.parametrize("command", ["attack", "sweep sweep.toml"])
def test_a_look_that_cannot_be_is_refused_before_anything_runs(
    command: str, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sweep.toml").write_text("[defaults]\ndataset = 'digits'\n")
    assert cli.main([*command.split(), *words.split(), "--out", "run"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_sweeps_table_looks_as_asked() -> None:
    Path("sweep.toml").write_text("attacks = ['fgsm']\n[defaults]\ndataset = 'digits'\nfirst = 4\n")
    words = (
        "sweep sweep.toml --out out --quiet --columns defense,shattered --digits 0 --format markdown,latex"
    )
    assert cli.main(words.split()) == 0
    assert Path("out/table.md").read_text().splitlines()[2] == "| defense | shattered |"
    assert Path("out/table.tex").exists()
