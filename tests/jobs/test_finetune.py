"""`advbench finetune` by invocation: what it writes, how it goes on, and what it says where it cannot."""

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from advbench import cli
from advbench.models.digits_cnn import DigitsCNN
from advbench.training.folder import TrainingFolder
from advbench.training.state import TrainingState

QUICK = "--epochs 2 --train-limit 200 --limit 40 --batch-size 32"

PLAIN_FACTORY = """
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


Finetune = Callable[[str], Done]


@pytest.fixture
def finetune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Finetune:
    """`advbench finetune` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(words: str) -> Done:
        return Done(cli.main(["finetune", *shlex.split(words)]), *capsys.readouterr())

    return run


def test_apart_trains_measures_and_writes(finetune: Finetune, tmp_path: Path) -> None:
    done = finetune(f"--apart {QUICK} --out run")
    assert done.code == 0, done.err
    for word in (
        "before",
        "APART",
        "clean",
        "statistics ± 0.1",
        "pgd linf 0.15",
        "no defense",
    ):
        assert word in done.out
    assert done.err.count("apart · epoch") == 2
    names = {str(each.relative_to("run")) for each in Path("run").rglob("*") if each.is_file()}
    files = {f"apart/{each}" for each in ("best.safetensors", "last.safetensors", "metrics.csv")}
    assert names >= {"run.json", "table.csv", "table.md", "table.json", "apart/state.safetensors"} | files
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["settings"]["ways"]["apart"]["apart"] == {"epsilon": 0.1, "groups": 16, "ratio": 1.0}
    with Path("run/apart/metrics.csv").open() as file:
        assert [each["epoch"] for each in csv.DictReader(file)] == ["1", "2"]
    with Path("run/table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {each["model"] for each in rows} == {"before", "apart"}
    assert len(rows) == 2 * (1 + 4 + 30 + 1)


def test_what_it_trained_can_be_attacked(finetune: Finetune) -> None:
    assert finetune(f"{QUICK} --out run").code == 0
    assert load_file("run/plain/last.safetensors").keys() == DigitsCNN().state_dict().keys()
    words = "attack --model digits-cnn --checkpoint run/plain/last.safetensors --first 8 --steps 2 --quiet"
    assert cli.main(words.split()) == 0


def test_compare_trains_both_from_the_same_start_and_compares_them_in_pairs(finetune: Finetune) -> None:
    both = finetune(f"--compare {QUICK} --out both --json")
    assert both.code == 0, both.err
    found = json.loads(both.out)
    assert {each["model"] for each in found["rows"]} == {"before", "plain", "apart"}
    assert [(each["one"], each["other"]) for each in found["pairs"]] == [
        ("plain", "before"),
        ("apart", "plain"),
    ]
    assert finetune(f"--apart {QUICK} --out alone").code == 0
    one, other = (load_file(f"{home}/apart/last.safetensors") for home in ("both", "alone"))
    assert all(torch.equal(one[name], other[name]) for name in one), "beside plain training as alone"


def test_the_same_command_goes_on_and_resume_finds_the_run(
    finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finetune(f"--compare {QUICK} --out whole").code == 0
    real = TrainingFolder.keep

    def interrupted(self: TrainingFolder, name: str, training: TrainingState, *rest: object) -> None:
        real(self, name, training, *rest)  # type: ignore[arg-type]  # as given
        if name == "apart" and training.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingFolder, "keep", interrupted)
    assert finetune(f"--compare {QUICK}").code == 130
    monkeypatch.setattr(TrainingFolder, "keep", real)
    (run,) = Path("runs").iterdir()
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    done = finetune(f"--compare {QUICK} --resume")
    assert done.code == 0, done.err
    assert "apart: going on with an earlier start, 1 epochs and 0 steps done" in done.err
    assert list(Path("runs").iterdir()) == [run]
    for way in ("plain", "apart"):
        one, other = (load_file(home / way / "last.safetensors") for home in (Path("whole"), run))
        assert all(torch.equal(one[name], other[name]) for name in one)
    again = finetune(f"--compare {QUICK} --resume")
    assert again.code == 1
    assert "no unfinished run of these settings" in again.err


def test_evaluate_measures_what_is_there(finetune: Finetune) -> None:
    alone = finetune("--evaluate --limit 40 --json")
    assert {each["model"] for each in json.loads(alone.out)["rows"]} == {"before"}
    assert not Path("runs").exists()
    trained = json.loads(finetune(f"--apart {QUICK} --out run --json").out)
    again = json.loads(finetune(f"--apart {QUICK} --out run --evaluate --json").out)
    assert again["rows"] == trained["rows"]


def test_training_from_nothing(finetune: Finetune) -> None:
    words = f"--scratch --model digits-cnn {QUICK} --epochs 20 --batch-size 16 --json"
    first, second = (json.loads(finetune(words).out) for _ in range(2))
    assert first["rows"] == second["rows"]
    clean = [each["accuracy"] for each in first["rows"] if each["measure"] == "clean"]
    assert clean[0] < 0.3 < clean[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--epsilon 0.2", "--epsilon is a setting of APART; add --apart or --compare"),
        ("--apart --groups 7", "--groups 7 does not divide the 128 images of the second pass"),
        ("--apart --batch-size 2000", "--batch-size 2000 is more than the 1294 training images"),
        ("--apart --ratio 2", "--ratio must lie in (0, 1], got 2"),
        ("--lr nan", "--lr must be positive, got nan"),
        ("--epochs 0", "--epochs must be at least 1"),
        ("--held-out 2000", "leaves 0 of 1437 images to train on"),
        ("--scratch --checkpoint x.pt", "give --checkpoint or --scratch, not both"),
        ("--augment flip", "Invalid value for '--augment'"),
        ("--apart --model plain.py:make --dataset digits", "the model has no such layer"),
        ("--resume", "no unfinished run"),
        ("--model resnet20 --dataset digits", "comes without weights: give --checkpoint FILE"),
        ("--model resnet20 --scratch --dataset digits", "mean and std are for 3 channels, the images have 1"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(finetune: Finetune, words: str, said: str) -> None:
    Path("plain.py").write_text(PLAIN_FACTORY)
    done = finetune(words)
    assert done.code == (1 if words == "--resume" else 2)
    assert done.err.count("\n") == done.err.count("advbench: error:") + done.err.count("digits-cnn (")
    assert said in done.err
    assert not Path("runs").exists()


def test_a_folder_with_another_run_is_refused_unless_overwritten(finetune: Finetune) -> None:
    assert finetune(f"{QUICK} --out run").code == 0
    other = finetune(f"{QUICK} --lr 0.01 --out run")
    assert other.code == 2
    assert "already holds another run" in other.err
    assert "lr was 0.1, now 0.01" in other.err
    assert finetune(f"{QUICK} --lr 0.01 --out run --overwrite").code == 0
