"""The ladder on the command line: verdicts in every file, an exit code for checks, and verify agrees."""

import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from advbench import cli
from advbench.evaluation.binarization import OUTCOMES
from advbench.results.indicators import MEANINGS
from advbench.results.verdict import RULES

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
    assert set(indicators["name"]) == set(MEANINGS) - {"incomplete", *OUTCOMES}
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


def test_a_least_robustness_climbs_the_ladder_and_sets_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "attack --first 12 --steps 5 --gradient-free square:queries=20 --min-robust 0.9 --out run"
    assert cli.main(words.split()) == 1
    assert "--min-robust 0.9: none under pgd:steps=5" in capsys.readouterr().err
    assert "worst" in json.loads(Path("run/run.json").read_text())["settings"]["rungs"]


def test_verdicts_of_earlier_rules_are_told_and_not_held_against_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "attack --first 12 --steps 40 --gradient-free square:queries=20 --ladder --save-adversarial"
    assert cli.main(f"{words} --out run".split()) == 0
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["heading"].pop("rules") == RULES
    del manifest["seal"]  # which came later
    table = pd.read_csv("run/table.csv")
    assert table["verdict"].iloc[0].startswith("not robust")
    for name in ("table.csv", "table.md"):  # as the first rules had them
        text = re.sub(r"not robust: [^\n]*%\)", "robust as measured", Path("run", name).read_text())
        Path("run", name).write_text(text)
        manifest["files"][name] = hashlib.sha256(text.encode()).hexdigest()
    Path("run/run.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert cli.main(["verify", "run"]) == 0
    told = capsys.readouterr().out
    assert "verdicts: an earlier version's, not compared; by today's rules: none under pgd" in told
    assert cli.main(["report", "run"]) == 0
    assert "not robust" in capsys.readouterr().out
    text = Path("run/table.csv").read_text().replace(",12,none", ",13,none")
    Path("run/table.csv").write_text(text)
    manifest["files"]["table.csv"] = hashlib.sha256(text.encode()).hexdigest()
    Path("run/run.json").write_text(json.dumps(manifest))
    assert cli.main(["verify", "run"]) == 1, "numbers are compared all the same"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--min-robust 40", "--min-robust must be a fraction of the images in [0, 1], like 0.4; got 40."),
        ("--fail-on sadness", "there is no verdict 'sadness'; known: robust-as-measured, not-robust, masked"),
        ("--fail-on ,", "there is no verdict ','; known: robust-as-measured"),
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
    assert table["verdict"].iloc[0].startswith("not robust"), (
        "next to nothing stands: a rung more changes that"
    )
    assert table["verdict"].iloc[1].startswith("masked: examples made on the undefended model")
