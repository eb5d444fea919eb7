"""`kill -9` at any moment: the same command ends in the same weights. Two processes train what one does."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

WORDS = ["-m", "advbench", "finetune", "--compare", "--limit", "8", "--batch-size", "64", "--out", "run"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLS = 4


def weights_in(folder: Path) -> dict[str, Tensor]:
    return {
        f"{way}.{name}": value
        for way in ("plain", "apart")
        for name, value in load_file(folder / "run" / way / "last.safetensors").items()
    }


def start(launcher: list[str], folder: Path, *more: str) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*launcher, *WORDS, *more],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def complete(launcher: list[str], folder: Path, *more: str) -> None:
    process = start(launcher, folder, *more)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed


@pytest.mark.slow
def test_the_bare_line_trains_and_measures_in_less_than_a_minute(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "advbench", "finetune", "--apart"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - began < 60
    assert {"clean", "before", "APART"} <= set(done.stdout.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_kills_do_not_change_the_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    complete([sys.executable], whole, "--epochs", "8")
    seconds = time.monotonic() - began
    moments = random.Random(0)  # moments, not secrets
    for _ in range(KILLS):
        process = start([sys.executable], killed, "--epochs", "8")
        time.sleep(moments.uniform(0.3, 0.7) * seconds)
        process.kill()
        process.communicate()
    assert (killed / "run/plain/state.safetensors").exists()
    complete([sys.executable], killed, "--epochs", "8")
    one, other = weights_in(whole), weights_in(killed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes_with_shared_statistics_train_what_one_does(tmp_path: Path) -> None:
    """The whole batch, its groups and both passes are the same, so the weights are, up to rounding.

    A few steps: sooner or later rounding decides a tie of a pooling layer, and the paths part.
    """
    more = ("--sync-bn", "--epochs", "2", "--ratio", "0.5", "--groups", "4", "--train-limit", "160")
    complete([sys.executable], tmp_path / "one", *more)
    complete(TORCHRUN, tmp_path / "two", *more)
    one, other = weights_in(tmp_path / "one"), weights_in(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_with_statistics_of_their_own_train_too(tmp_path: Path) -> None:
    more = ("--epochs", "2", "--groups", "4")
    complete(TORCHRUN, tmp_path / "two", *more)
    assert all(value.isfinite().all() for value in weights_in(tmp_path / "two").values())
