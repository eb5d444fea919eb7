"""Ctrl-C and SIGTERM: the batch in flight is finished and kept, and the same command goes on."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import NamedTuple

import pandas as pd
import pytest
from rich.console import Console

from advbench.cli.bar import Bar, TimeLeft

COMMAND = [sys.executable, "-m", "advbench"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}


class Stopped(NamedTuple):
    """A run that was sent signals after its first part."""

    process: subprocess.Popen[str]
    out: str
    err: str
    parts: list[Path]


def stop(folder: Path, words: str, *signals: int) -> Stopped:
    """Start a run in a folder, wait for its first part, and send signals half a second apart."""
    process = subprocess.Popen(
        [*COMMAND, *words.split()], cwd=folder, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE, text=True
    )
    try:
        while not list(folder.glob("run/parts/*.parquet")) and process.poll() is None:
            time.sleep(0.05)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.5)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return Stopped(process, out, err, sorted(folder.glob("run/parts/*.parquet")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_finishes_its_batch_and_the_same_command_goes_on(tmp_path: Path, number: int) -> None:
    # Without a defense the images fall at once; behind rounding the gradient is zero and it takes longer.
    words = "attack --defense round --first 8 --steps 1500 --batch-size 4 --out run"
    stopped = stop(tmp_path, words, number)
    assert stopped.process.returncode == 130
    assert stopped.err.splitlines()[-1] == "advbench: error: interrupted"
    assert "Traceback" not in stopped.err
    assert stopped.out == ""
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "run/samples.parquet").exists()
    kept = [pd.read_parquet(each) for each in stopped.parts]
    assert {len(each) for each in kept} == {4}
    going_on = subprocess.run(
        [*COMMAND, *words.split()], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert f"{4 * len(kept)} records found" in going_on.stderr
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "done"
    assert sorted((tmp_path / "run/parts").iterdir())[: len(kept)] == stopped.parts


def test_a_second_signal_stops_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    words = "attack --defense round --first 4 --steps 1000000 --step-size 0.02 --out run"
    stopped = stop(tmp_path, words, signal.SIGINT, signal.SIGINT)
    assert stopped.process.returncode == 130
    assert "once more to stop at once" in stopped.err
    assert pd.read_parquet(stopped.parts[0])["defense"].tolist() == ["none"] * 4


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def left(bar: Bar) -> str:
    """What the bar says of the time that is left."""
    (task,) = bar.progress.tasks
    column = TimeLeft()
    return column.render(task).plain


@pytest.fixture
def clock_and_bar() -> tuple[Clock, Bar]:
    clock, bar = Clock(), Bar(Console(file=io.StringIO()))
    bar.progress.get_time = clock
    (task,) = bar.progress.tasks
    task._get_time = clock
    return clock, bar


def test_batches_of_minutes_have_a_time_left(clock_and_bar: tuple[Clock, Bar]) -> None:
    clock, bar = clock_and_bar
    bar.begin("attacking", 1000, 200)
    assert left(bar) == "-:--:--"
    for batch in (1, 2, 3):
        clock.now = 600.0 * batch
        bar.advance("attacking", 200 + 100 * batch)
        assert left(bar) == f"{10 * (8 - batch) // 60}:{10 * (8 - batch) % 60:02d}:00"


def test_what_a_fast_rung_promised_does_not_stay_through_a_slow_one(clock_and_bar: tuple[Clock, Bar]) -> None:
    clock, bar = clock_and_bar
    bar.begin("attacking", 500)
    for done in (100, 200):
        clock.now += 1.0
        bar.advance("none", done)
    assert left(bar) == "0:00:03"
    clock.now = 400.0
    assert left(bar) == "0:10:00", "three of five parts, at two in 400 seconds"


def test_fast_batches_have_the_time_left_of_their_latest_pace(clock_and_bar: tuple[Clock, Bar]) -> None:
    clock, bar = clock_and_bar
    bar.begin("attacking", 100)
    for done in range(1, 51):
        clock.now += 1.0
        bar.advance("attacking", done)
    for done in range(51, 91):
        clock.now += 0.5
        bar.advance("attacking", done)
    assert left(bar) in ("0:00:05", "0:00:06")
    bar.advance("attacking", 100)
    assert left(bar) == "0:00:00"
