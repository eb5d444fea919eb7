"""The ladder on the command line: verdicts in every file, an exit code for checks, and verify agrees."""

import json
from pathlib import Path

import pandas as pd
import pytest

from advbench import cli
from advbench.indicators import MEANINGS

LADDER = "attack --defense round --first 30 --gradient-free square:queries=50 --calibration 8"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_ladder_ends_in_a_verdict_that_its_files_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(f"{LADDER} --ladder --save-adversarial --out run".split()) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "round: masked: attacks with BPDA fell" in printed
    table = pd.read_csv("run/table.csv")
    assert table["verdict"].iloc[1].startswith("masked: attacks with BPDA fell")
    assert table["verdict"].iloc[1] in Path("run/table.md").read_text().replace("\\", "").replace("&lt;", "<")
    assert {"static_count", "gradient_free_count", "worst_count"} <= set(table.columns)
    indicators = pd.read_csv("run/indicators.csv", keep_default_na=False)
    assert set(indicators["name"]) == set(MEANINGS) - {"incomplete"}
    assert (indicators[indicators["tripped"]]["rung"] != "bpda").all()
    assert cli.main(["verify", "run"]) == 0


def test_a_forged_indicator_or_verdict_does_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(f"{LADDER} --ladder --save-adversarial --out run".split()) == 0
    manifest = json.loads(Path("run/run.json").read_text())
    table = Path("run/table.csv")
    whole = table.read_text()
    table.write_text(whole.replace("masked: attacks with BPDA fell", "robust as measured: nothing fell"))
    assert cli.main(["verify", "run"]) == 1
    table.write_text(whole)
    manifest["heading"]["indicators"][0]["part"] = "many"
    Path("run/run.json").write_text(json.dumps(manifest))
    assert cli.main(["verify", "run"]) == 2
    assert "indicator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verdicts", "code"), [("masked,unreliable", 1), ("unreliable", 0), ("not-enough-evidence", 0)]
)
def test_checks_can_ask_for_an_exit_code(
    verdicts: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*LADDER.split(), "--fail-on", verdicts, "--out", "run", "--steps", "100"]) == code
    told = capsys.readouterr().err
    assert ("--fail-on: round under pgd:steps=100 is masked: attacks with BPDA" in told) == bool(code)
    assert json.loads(Path("run/run.json").read_text())["status"] == "done", "the table is there all the same"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--fail-on sadness", "there is no verdict 'sadness'; known: robust-as-measured, masked"),
        ("--rungs stairs", "there is no rung 'stairs'; known: static, shattered"),
        ("--ladder --gradient-free pdg", "there is no attack called 'pdg'"),
    ],
)
def test_wrong_words_are_told_in_a_line(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*LADDER.split(), *words.split(), "--out", "run"]) == 2
    assert told in capsys.readouterr().err
    assert not Path("run").exists()


def test_rungs_can_be_chosen_one_by_one() -> None:
    assert cli.main([*LADDER.split(), "--rungs", "static,worst", "--out", "run"]) == 0
    table = pd.read_csv("run/table.csv")
    rungs = [name.removesuffix("_count") for name in table.columns if name.endswith("_count")]
    assert rungs == ["clean", "static", "shattered", "worst"]
    assert table["verdict"].iloc[0] == "robust as measured", "nothing stands, and a rung more could not help"
    assert table["verdict"].iloc[1].startswith("masked: examples made on the undefended model")
