"""Several processes that share a run: one table, one voice, and nothing lost where one of them is killed."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import psutil  # type: ignore[import-untyped]  # no stubs
import pytest
from torch._C._distributed_c10d import HashStore
from torch.utils.data import TensorDataset

from advbench.errors import RunError
from advbench.evaluation.ladder import merge
from advbench.jobs.ranks import Ranks, follows, join_ranks
from tests.forked import run_command
from tests.small import Network, run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
ATTACK = ["-m", "advbench", "attack", "--defense", "round", "--bpda"]


class Launched(NamedTuple):
    process: subprocess.Popen[str]
    folder: Path

    def workers(self) -> dict[int, psutil.Process]:
        """The processes that torchrun has started, by rank."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                found[int(child.environ()["RANK"])] = child
            except (psutil.Error, KeyError):
                continue
        return found

    def parts(self) -> list[str]:
        return sorted(each.name for each in self.folder.glob("run/parts/*.parquet"))

    def wait_for_parts(self, count: int) -> None:
        while len(self.parts()) < count and self.process.poll() is None:
            time.sleep(0.05)

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=200)
        ours = [
            line for line in err.splitlines() if line.startswith(("advbench", "digits", "going", "stopping"))
        ]
        return self.process.returncode, out, "\n".join(ours)


def launch(folder: Path, *words: str, processes: int = 2, restarts: int = 0) -> Launched:
    command = [*TORCHRUN, str(processes), "--max-restarts", str(restarts), *ATTACK, *words]
    process = subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return Launched(process, folder)


def alone(folder: Path, *words: str) -> pd.DataFrame:
    folder.mkdir()
    assert run_command([*ATTACK[2:], *words], folder, ENVIRONMENT).returncode == 0
    return samples_of(folder)


def samples_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "run/samples.parquet")


def test_two_processes_give_the_table_of_one_and_speak_with_one_voice(tmp_path: Path) -> None:
    words = ["--first", "60", "--steps", "20", "--save-adversarial", "--out", "run"]
    code, out, err = launch(tmp_path, *words).finish()
    assert code == 0, err
    assert out.count("round ") == 1
    assert err.count("60 images of digits") == 1
    assert "2 processes" in err
    expected = alone(tmp_path / "alone", *words)
    pd.testing.assert_frame_equal(samples_of(tmp_path), expected, rtol=1e-4)
    ranks = {each.name.split("-")[0] for each in (tmp_path / "run/parts").iterdir()}
    assert ranks == {"0000", "0001"}
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    assert manifest["execution"]["processes"] == 2
    assert run_command(["verify", "run"], tmp_path, ENVIRONMENT).returncode == 0


@pytest.mark.slow
def test_a_run_goes_on_however_many_processes_share_it(tmp_path: Path) -> None:
    words = ["--first", "120", "--steps", "200", "--batch-size", "8", "--out", "run"]
    launched = launch(tmp_path, *words, processes=4)
    launched.wait_for_parts(6)
    launched.process.kill()
    for worker in launched.workers().values():
        worker.kill()
    launched.process.communicate()
    before = launched.parts()
    assert run_command([*ATTACK[2:], *words], tmp_path, ENVIRONMENT).returncode == 0
    assert set(before) <= set(launched.parts())
    expected = alone(tmp_path / "alone", *words)
    pd.testing.assert_frame_equal(samples_of(tmp_path), expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "more"), [(1, []), (3, ["--overwrite", "--save-adversarial"])])
def test_killed_processes_are_started_again_and_lose_at_most_their_batches_in_flight(
    kills: int, more: list[str], tmp_path: Path
) -> None:
    words = ["--steps", "100", "--batch-size", "24", "--out", "run", *more]
    expected = alone(tmp_path / "alone", *words)
    moments = random.Random(0)  # moments, not secrets
    launched = launch(tmp_path, *words, restarts=kills)
    kept: list[str] = []
    for kill in range(kills):
        launched.wait_for_parts(len(kept) + 3)
        time.sleep(moments.uniform(0.0, 1.0))
        assert launched.process.poll() is None, "the run ended before it was killed often enough"
        launched.workers()[kill % 2].kill()
        found = launched.parts()
        assert set(kept) <= set(found), "a finished part is never lost"
        kept = found
    code, out, err = launched.finish()
    assert code == 0, err
    assert out.count("BPDA accuracy") == 1
    assert err.count("going on with an earlier start") == kills
    pd.testing.assert_frame_equal(samples_of(tmp_path), expected, rtol=1e-4)
    parts = [pd.read_parquet(each) for each in (tmp_path / "run/parts").iterdir()]
    assert not pd.concat(parts).duplicated(["index", "rung", "defense"]).any(), "nothing is done twice"
    if more:
        assert run_command(["verify", "run"], tmp_path, ENVIRONMENT).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_pre_emption_of_torchrun_finishes_the_batches_in_flight(tmp_path: Path, number: int) -> None:
    words = ["--first", "40", "--steps", "1500", "--batch-size", "4", "--out", "run"]
    launched = launch(tmp_path, *words)
    launched.wait_for_parts(5)
    launched.process.send_signal(number)
    code, out, err = launched.finish()
    assert code != 0
    assert out == ""
    assert err.splitlines()[-1] == "advbench: error: interrupted"
    assert err.count("interrupted") == 1
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"
    kept = launched.parts()
    assert {len(pd.read_parquet(tmp_path / "run/parts" / each)) for each in kept} <= {2, 4}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--defense", "rond"], "no defense called 'rond'"),
        (["--steps", "none"], "Invalid value for '--steps'"),
        (["--out", ""], "--out needs a path"),
        (["--first", "1"], "2 processes cannot share 1 images"),
    ],
)
def test_what_is_wrong_is_said_once(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "import os, time\ntime.sleep(2 if os.environ.get('RANK') == '0' else 0)"
    (tmp_path / "sitecustomize.py").write_text(slow)  # the process that speaks starts last
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", str(tmp_path))
    code, out, err = launch(tmp_path, *words).finish()
    assert code != 0
    assert out == ""
    assert err.count("advbench: error: ") == 1
    assert said in err
    assert not (tmp_path / "runs").exists()


def test_an_attempt_knows_nothing_of_what_an_earlier_one_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun's store outlives a restart: a folder or records of before would be taken for those of now."""
    store = HashStore()
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module("torch.distributed.rendezvous")  # not the function of that name
    monkeypatch.setattr(module, "rendezvous", lambda _: iter([(store, 0, 2)]))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    join_ranks().post("folder", b"before")
    assert join_ranks().has("folder")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    again = join_ranks()
    assert not again.has("folder")
    again.post("folder", b"now")
    assert again.await_post("folder", lambda: None) == b"now"


def test_a_restart_replaces_what_others_have_left_but_never_the_runs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {"settings": {"model": "a"}, "data": {"n": 3}, "status": "running"}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    other = {**manifest, "settings": {"model": "b"}}
    for restarts, own in (("0", True), ("1", False)):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
        assert Ranks().may_overwrite(True, tmp_path, manifest) is own
        assert Ranks().may_overwrite(True, tmp_path, other)
        assert Ranks().may_overwrite(True, None, manifest)
        assert not Ranks().may_overwrite(False, tmp_path, other)


def test_shares_are_disjoint_and_complete() -> None:
    items = list(range(11))
    shares = [Ranks(rank, 4).share(items) for rank in range(4)]
    assert sorted(each for share in shares for each in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert Ranks().share(items) == items


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (3 << 20) + 7])
def test_what_is_posted_arrives_whole(size: int) -> None:
    store = HashStore()
    contents = random.Random(0).randbytes(size)
    poster, reader = Ranks(1, 2, 1, store), Ranks(0, 2, 0, store)
    waits = 0

    def idle() -> None:
        nonlocal waits
        waits += 1

    thread = threading.Timer(0.3, poster.post, ("found/1", contents))
    thread.start()
    assert reader.await_post("found/1", idle) == contents
    assert waits > 0
    thread.join()


def test_a_wait_can_be_interrupted() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ranks(0, 2, 0, HashStore()).await_post("never", stop)


def test_counts_are_shared() -> None:
    store = HashStore()
    one, other = (Ranks(rank, 2, rank, store) for rank in range(2))
    assert one.add("done", 3) == 3
    assert other.add("done", 4) == 7
    assert one.add("done", 0) == 7
    assert Ranks().add("done", 2) == 2


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"RANK": "1"}, 0),
        ({"RANK": "1", "WORLD_SIZE": "1"}, 0),
        ({"RANK": "x", "WORLD_SIZE": "y"}, 0),
    ],
)
def test_without_torchrun_there_is_one_process(
    variables: dict[str, str], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (join_ranks().rank, join_ranks().count) == (rank, 1)
    assert not follows()


def test_others_out_of_reach_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "no number"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match="other processes cannot be reached"):
        join_ranks()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_evaluations_of_shares_merge_into_that_of_the_whole(
    network: Network, data: TensorDataset, count: int
) -> None:
    whole = run(network, data)
    shares = [run(network, data, indices=Ranks(rank, count).share(range(50))) for rank in range(count)]
    merged = merge(shares)
    pd.testing.assert_frame_equal(merged.samples, whole.samples, rtol=1e-4)
    assert merged.rows == whole.rows
    assert merged.fingerprint == whole.fingerprint


def test_the_doubts_of_every_share_stay(network: Network, data: TensorDataset) -> None:
    first, second = (run(network, data, indices=[each]) for each in (0, 1))
    second.heading.doubts["round"] = ("it is random",)  # type: ignore[index]  # declared as not to be changed
    rows = merge([first, second, first]).rows
    assert ["it is random" in row.warnings for row in rows] == [False, True, False]
