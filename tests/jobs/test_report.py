"""`advbench report`: the same table again from folders, runs merged and compared; nothing on trust."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from advbench import cli
from advbench.results.statistics import count_pairs
from advbench.runs.read import read_records

SMALL = "--first 12 --steps 2 --bpda --substitute identity --quiet"
RUNS = {
    "round": f"attack --defense round {SMALL} --out round --format csv,markdown,latex,json",
    "bits": f"attack --defense bit-depth:bits=2 {SMALL} --out bits",
    "seeded": f"attack --defense round {SMALL} --seed 7 --eps 0.3 --out seeded",
    "other": "attack --first 5 --steps 2 --quiet --out other",
}
SWEEP = "attacks = ['fgsm']\nthreats = ['0.1', '0.2']\n[defaults]\ndataset = 'digits'\nfirst = 12\n"


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    (home / "sweep.toml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for words in RUNS.values():
            assert cli.main(words.split()) == 0
        assert cli.main(["sweep", "sweep.toml", "--out", "swept", "--quiet"]) == 0
    return home


@pytest.fixture
def report(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Done]:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    capsys.readouterr()

    def run(words: str) -> Done:
        return Done(cli.main(["report", *words.split()]), *capsys.readouterr())

    return run


Report = Callable[[str], Done]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("form", "name"),
    [("csv", "table.csv"), ("markdown", "table.md"), ("latex", "table.tex"), ("json", "table.json")],
)
def test_a_run_gives_its_own_tables_again_to_the_byte(report: Report, form: str, name: str) -> None:
    done = report(f"round --format {form}")
    assert (done.code, done.err) == (0, "")
    assert done.out == Path("round", name).read_text()


def test_a_report_needs_no_torch(report: Report) -> None:
    code = (
        "import sys; from advbench import cli; code = cli.main(['report', 'round', '--format', 'latex']); "
        "assert (code, 'torch' in sys.modules) == (0, False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_runs_are_merged_and_what_differs_becomes_a_column(report: Report) -> None:
    rows = rows_of(report("round bits seeded --format csv").out)
    assert [(row["defense"], row["eps"]) for row in rows] == [
        *(("none", "0.15"), ("round", "0.15"), ("bit-depth:bits=2", "0.15")),
        *(("none", "0.3"), ("round", "0.3")),
    ]
    assert {row["seed"] for row in rows} == {"0", "7"}
    header = report("round seeded --format markdown").out.splitlines()[2]
    assert header.startswith("| threat | defense |")


def test_rows_of_the_same_names_and_other_numbers_bear_the_names_of_their_runs(report: Report) -> None:
    rows = rows_of(report("round other --format csv").out)
    assert {row["model"] for row in rows} == {"digits-cnn (round)", "digits-cnn (other)"}


def test_a_sweep_is_reported_as_its_own_table_has_it(report: Report) -> None:
    wanted, found = rows_of(Path("swept/table.csv").read_text()), rows_of(report("swept --format csv").out)
    assert found == wanted


def test_differences_are_those_of_the_records_image_by_image(report: Report) -> None:
    assert report("bits --baseline round --out out --format csv,json,markdown,latex --quiet").code == 0
    lines = rows_of(Path("out/paired.csv").read_text())
    assert [(line["defense"], line["baseline_defense"], line["rung"]) for line in lines] == [
        *(("none", "none", "clean"), ("none", "none", "shattered")),
        *(("bit-depth:bits=2", "round", rung) for rung in ("clean", "shattered", "bpda")),
    ]
    mine, theirs = (
        read_records(Path(run)).samples.query("rung == 'bpda'").sort_values("index")["robust"].to_numpy()
        for run in ("bits", "round")
    )
    pairs = count_pairs(mine, theirs)
    last = lines[-1]
    assert int(last["only_row"]) == pairs.only_first
    assert float(last["difference"]) == pytest.approx(pairs.difference)
    assert float(last["p"]) == pytest.approx(pairs.p_value)
    assert json.loads(Path("out/paired.json").read_text())[-1]["low"] == pytest.approx(pairs.interval.low)
    assert "McNemar's exact test" in Path("out/paired.md").read_text()
    assert r"\label{tab:advbench-paired}" in Path("out/paired.tex").read_text()


def test_other_images_are_said_not_to_be_compared(report: Report) -> None:
    done = report("other --baseline round")
    assert done.code == 0
    assert "the images of other are not those of round" in " ".join(done.out.split())
    assert "McNemar" not in done.out


def test_a_row_without_a_counterpart_is_said_not_to_be_compared(report: Report) -> None:
    done = report("seeded --baseline round")
    assert "round has no single row to compare with" in " ".join(done.out.split())


def test_a_report_can_be_written_again_but_never_over_something_else(report: Report) -> None:
    assert report("round --out out").code == 0
    assert sorted(each.name for each in Path("out").iterdir()) == ["report.json", "table.csv", "table.md"]
    assert report("round bits --out out --quiet").code == 0
    assert "bit-depth" in Path("out/table.md").read_text()
    Path("out/report.json").unlink()
    done = report("round --out out")
    assert (done.code, "holds table.csv, but no report" in done.err) == (2, True)
    assert report("round --out out --overwrite").code == 0
    done = report("round --out bits")
    assert (done.code, "bits holds a run" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nowhere", "nowhere is not a run's folder"),
        ("round --format csv,json", "more than one format, need a folder"),
        ("round --figures png", "figures, and more than one format, need a folder"),
        ("round --figures csv --out x", "no format 'csv'"),
        ("round --format pdf", "no format 'pdf'"),
        ("round --baseline swept", "--baseline must be a single run, and swept holds 2"),
        ("bits --baseline round --format csv", "makes a second table"),
        ("round --out sweep.toml", "is not a folder"),
        ("round --columns x", "no column 'x'"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_a_line(report: Report, words: str, said: str) -> None:
    done = report(words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"cells": None},
        {"cells": [3]},
        {"cells": [{"model": "x"}]},
        {"run": "../round"},
        {"run": "runs/../../round"},
        {"run": "/etc"},
        {"defense": "other"},
    ],
)
def test_a_forged_sweep_is_refused(report: Report, change: dict[str, Any]) -> None:
    said = json.loads(Path("swept/sweep.json").read_text())
    if "cells" in change:
        said |= change
    else:
        said["cells"][0] |= change
    Path("swept/sweep.json").write_text(json.dumps(said))
    done = report("swept")
    assert done.code == 2
    assert "Traceback" not in done.err


def test_a_sweeps_failed_cells_tell_their_reason(report: Report) -> None:
    said = json.loads(Path("swept/sweep.json").read_text())
    said["cells"][0] |= {"status": "failed", "run": None, "error": "it broke"}
    Path("swept/sweep.json").write_text(json.dumps(said))
    assert "it broke" in report("swept").out


@pytest.mark.slow
def test_a_run_has_its_figures_drawn_from_its_records(report: Report) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    assert report("round bits --figures svg --out out").code == 0
    assert {each.name for each in Path("out").glob("*.svg")} == {"ladder.svg", "steps.svg", "loss.svg"}
    for figure in ("steps", "loss"):
        text = Path(f"out/{figure}.svg").read_text(encoding="utf-8")
        for name in ("round · shattered", "bit-depth:bits=2 · shattered"):
            assert name in text


EPOCHS = "epoch,lr,loss,accuracy,adver_loss,held_out,seconds\n1,0.1,2.0,0.5,,,1\n2,0.1,1.0,0.7,,,1\n"


def training(epochs: str = EPOCHS) -> None:
    """A folder as `advbench finetune` leaves it, as far as a report looks at it."""
    for way in ("apart", "plain"):
        Path("trained", way).mkdir(parents=True)
        Path("trained", way, "metrics.csv").write_text(epochs)
    Path("trained/run.json").write_text(json.dumps({"status": "done"}))


def test_a_trainings_curves_are_figures_of_a_page(report: Report) -> None:
    training()
    assert report("round trained --format html --out out").code == 0
    text = Path("out/report.html").read_text(encoding="utf-8")
    for said in ("Training: loss", "apart, loss", "plain, training"):
        assert said in text
    assert text.count("<polyline") == 2 * (4 + 1 + 3)  # of trainings, success and loss, and each in a legend


@pytest.mark.slow
def test_a_training_alone_has_its_curves_drawn(report: Report) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    training()
    assert report("trained --figures svg --out out").code == 0
    names = {each.name for each in Path("out").iterdir()}
    assert names == {"report.json", "training-loss.svg", "training-accuracy.svg"}


def test_a_training_alone_has_no_table_here(report: Report) -> None:
    training()
    done = report("trained --format csv")
    assert (done.code, "is a training, which has its own table" in done.err) == (2, True)


@pytest.mark.parametrize("epochs", ["", "epoch,loss\n", "epoch,loss\nx,1\n", "\x00\n"])
def test_forged_epochs_are_refused(report: Report, epochs: str) -> None:
    training(epochs)
    done = report("round trained")
    assert (done.code, "holds no epochs of a training" in done.err) == (2, True)
