"""Substitutes on the command line: searched, named in the table, kept in the folder, and the same again."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from tests.forked import Ended, run_command, run_launched

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
MODULE = """
import numpy as np


def levels(x, count: int = 4):
    return np.round(x * count) / count


def twice(x):
    return 2 * x
"""
ATTACK = (
    "attack --defense mine.py:levels:count=3 --bpda --first 40 --steps 5 --calibration 16 --save-adversarial"
)


def advbench(folder: Path, words: str, processes: int = 0) -> Ended:
    if not processes:
        return run_command(words.split(), folder, ENVIRONMENT)
    return run_launched(["--nproc-per-node", str(processes), "-m", "advbench", *words.split()], folder)


@pytest.mark.slow
def test_a_search_is_told_kept_resumed_shared_and_verified(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    done = advbench(tmp_path, f"{ATTACK} --out run")
    assert done.returncode == 0, done.stderr
    assert "substitutes for mine.py:levels:count=3:" in done.stderr
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    named = manifest["heading"]["substitutes"]["mine.py:levels:count=3"]
    graded = pd.read_csv(tmp_path / "run/substitutes.csv", keep_default_na=False).set_index("substitute")
    assert set(graded.index) == {"identity", "smooth", "learned"}
    assert named == "; ".join(graded[graded["rank"] > 0].sort_values("rank").index)
    assert len(manifest["candidates"]) == 3
    assert pd.read_csv(tmp_path / "run/table.csv")["substitute"].tolist()[1] == named
    assert len(list((tmp_path / "run/substitutes").iterdir())) == 2

    samples = pd.read_parquet(tmp_path / "run/samples.parquet")
    kept = sorted(each.name for each in (tmp_path / "run/parts").iterdir())
    for name in (kept[-1], kept[-2]):
        (tmp_path / "run/parts" / name).unlink()
    fitted = {each: each.stat().st_mtime_ns for each in (tmp_path / "run/substitutes").iterdir()}
    resumed = advbench(tmp_path, f"{ATTACK} --out run")
    assert resumed.returncode == 0, resumed.stderr
    assert {each: each.stat().st_mtime_ns for each in fitted} == fitted, "nothing is searched twice"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run/samples.parquet"), samples)

    split = advbench(tmp_path, f"{ATTACK} --out shared", processes=2)
    assert split.returncode == 0, split.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "shared/samples.parquet"), samples, rtol=1e-4)
    one, two = (
        pd.read_csv(tmp_path / name / "substitutes.csv").drop(columns=["command"])
        for name in ("run", "shared")
    )
    pd.testing.assert_frame_equal(two, one, check_exact=True)

    refused = advbench(tmp_path, "verify run")
    assert refused.returncode == 2
    assert "name it again with --defense mine.py:levels:count=3" in refused.stderr
    verified = advbench(tmp_path, "verify shared --defense mine.py:levels:count=3")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    table = tmp_path / "shared/substitutes.csv"
    table.write_text(table.read_text().replace("learned", "soft"))
    assert advbench(tmp_path, "verify shared --defense mine.py:levels:count=3").returncode == 1


def test_a_substitute_of_ones_own_implies_bpda_and_a_wrong_one_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    words = "attack --defense round --first 20 --steps 3 --json"
    done = advbench(tmp_path, f"{words} --substitute mine.py:twice --out run")
    assert done.returncode == 0, done.stderr
    _, row = json.loads(done.stdout)
    assert row["substitute"] == "mine.py:twice"
    assert row["bpda_count"] <= row["shattered_count"]
    wrong = advbench(tmp_path, f"{words} --substitute smoth --out wrong")
    assert wrong.returncode == 2
    assert "Did you mean 'smooth'" in wrong.stderr
    assert not (tmp_path / "wrong").exists()
