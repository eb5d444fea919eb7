"""`kill -9` at any moment costs at most the batch in flight; the same command goes on from there."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "advbench", "attack", "--defense", "round", "--bpda", "--steps", "60"]
COMMAND += ["--batch-size", "32", "--out", "run"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}  # two runs beside each other on two cores
KILLS = 10


def test_ten_kills_leave_the_samples_of_a_run_that_was_not_killed(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    began = time.monotonic()
    subprocess.run(COMMAND, cwd=whole, env=ENVIRONMENT, check=True, capture_output=True)
    seconds = time.monotonic() - began
    moments = random.Random(0)  # moments, not secrets
    found = []
    for _ in range(KILLS):
        process = subprocess.Popen(
            COMMAND, cwd=killed, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.5, 1.0) * seconds)
        process.kill()
        process.wait()
        found.append(len(list(killed.glob("run/parts/*.parquet"))))
    assert found == sorted(found), "a finished part is never lost"
    assert found[-1] > 0
    subprocess.run(COMMAND, cwd=killed, env=ENVIRONMENT, check=True, capture_output=True)
    assert json.loads((killed / "run/run.json").read_text())["status"] == "done"
    samples = [pd.read_parquet(folder / "run/samples.parquet") for folder in (whole, killed)]
    pd.testing.assert_frame_equal(samples[1], samples[0])
    tables = [(folder / "run/table.csv").read_bytes() for folder in (whole, killed)]
    assert tables[0] == tables[1]
