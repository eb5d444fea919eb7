"""Published weights in a user's own class, and folders of CIFAR images in another order."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from advbench.cli import main

pytestmark = pytest.mark.slow

LENET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.linear1, self.linear2 = nn.Linear(3136, 200), nn.Linear(200, 10)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.linear2(torch.relu(self.linear1(x.flatten(1))))
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "advbench"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(LENET)


def own_class(shared: Path) -> str:
    """The adversarially trained LeNet5 of advertorch, in a class that says nothing of its normalisation."""
    return (
        f"attack --model own.py:Net --checkpoint {shared}/checkpoints/mnist_lenet5_advtrained.pt "
        f"--dataset mnist --data-root {shared}/data/mnist --out run"
    )


def test_a_robust_network_in_a_class_of_ones_own_is_not_guessed_at(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(f"{own_class(shared)} --first 20 --quiet")) == 2
    said = capsys.readouterr().err
    assert "none 98." in said
    assert "dataset 98." in said
    assert "--normalization none (--mean 0 --std 1), or --normalization " in said
    assert not Path("run").exists()


def test_behind_its_own_normalisation_it_stands_as_published(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--limit 200 --normalization none --eps 0.3 --step-size 0.01 --no-random-start --json"
    assert main(shlex.split(f"{own_class(shared)} {words}")) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["shattered_count"] == 187


def linked(shared: Path, names: dict[str, str]) -> None:
    """CIFAR's folders under other names; those without a name are left out."""
    Path("pictures").mkdir()
    for folder, name in names.items():
        if name:
            (Path("pictures") / name).symlink_to(shared / "data/cifar10-jpeg/test" / folder)


CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RESNET = "--model resnet20 --dataset imagefolder --data-root pictures --steps 1 --out run"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([str(each + 1) for each in range(10)], "where they follow the numbers in their names."),
        ([each if each != "deer" else "" for each in CLASSES], "no label is output 4"),
        ([each if each != "airplane" else "" for each in CLASSES], "shifted by one: label 0 is output 1"),
    ],
    ids=["one to ten", "without deer", "without airplane"],
)
def test_cifar_folders_in_another_order_end_the_run(
    names: list[str], said: str, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linked(shared, dict(zip(CLASSES, names, strict=True)))
    words = f"attack {RESNET} --checkpoint {shared}/checkpoints/resnet20-12fca82f.th --limit 90"
    assert main(shlex.split(f"{words} --quiet")) == 2
    assert said in capsys.readouterr().err
    Path("names.txt").write_text("\n".join(f"{at} {name}" for at, name in enumerate(names) if name))
    assert main(shlex.split(f"{words} --classes names.txt --json")) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["clean_accuracy"] > 0.7


def test_processes_that_share_a_run_agree(shared: Path) -> None:
    linked(shared, dict(zip(CLASSES, [str(each + 1) for each in range(10)], strict=True)))
    checkpoint = f"--checkpoint {shared}/checkpoints/resnet20-12fca82f.th"
    Path("names.txt").write_text("\n".join(str(each + 1) for each in range(10)))
    Path("mine.py").write_text("from advbench.models.resnet_cifar import resnet20 as make\n")
    own = RESNET.replace("--model resnet20", "--model mine.py:make")

    def run(words: str) -> "subprocess.CompletedProcess[str]":
        command = [*TORCHRUN, *shlex.split(f"attack {words} {checkpoint} --limit 60")]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    refused = run(own)
    assert refused.returncode != 0
    assert "where they follow the numbers in their names" in refused.stderr
    assert not Path("run").exists()
    done = run(f"{own} --classes names.txt")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["settings"]["mean"] == [0.485, 0.456, 0.406]
    assert manifest["notes"][0].startswith("normalisation dataset (--mean 0.485,0.456,0.406")
