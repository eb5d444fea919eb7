"""A sweep by real invocation: one table of all cells, whatever fails, and nothing done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from torch._C._distributed_c10d import HashStore

from advbench import cli
from advbench.cli import runs as commands
from advbench.jobs import run as one_run
from advbench.jobs.finished import Run
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.sweep import run as module
from advbench.models.network import WEIGHTS
from tests.forked import run_command

COMMAND = [sys.executable, "-m", "advbench", "sweep", "sweep.toml", "--out", "out"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
TRAITS = ["model", "defense", "norm", "eps", "attack"]
SMALL = """
threats = ["linf 0.15", "l2 0.5"]
defenses = ["round", "bit-depth:bits=3"]
attacks = ["pgd", "fgsm"]
[defaults]
first = 8
steps = 2
bpda = true
"""
FAILING = """
defenses = ["round", "round@nowhere", "bit-depth"]
attacks = ["pgd", "fgsm"]
[defaults]
first = 8
steps = 2
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


Sweep = Callable[..., Done]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """`advbench sweep` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, words: str = "--out out") -> Done:
        Path("sweep.toml").write_text(text)
        return Done(cli.main(["sweep", "sweep.toml", *words.split()]), *capsys.readouterr())

    return run


def table(path: str = "out") -> pd.DataFrame:
    file = Path(path) / "table.csv"
    return pd.read_csv(file, keep_default_na=False, na_values=[""], dtype={"eps": str})


def runs() -> list[Path]:
    return sorted(Path("out/runs").iterdir())


def stamps() -> dict[Path, int]:
    """When each file of the runs was written."""
    return {each: each.stat().st_mtime_ns for each in Path("out/runs").rglob("*") if each.is_file()}


def accounts() -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(Path("out/sweep.json").read_text())["cells"]
    return cells


def test_a_sweep_gives_the_numbers_of_attack_in_one_table(sweep: Sweep) -> None:
    done = sweep(SMALL)
    assert done.code == 0, done.err
    found = table()
    assert found[TRAITS].values.tolist() == [
        ["digits-cnn", defense, norm, eps, attack]
        for norm, eps in (("linf", "0.15"), ("l2", "0.5"))
        for defense in ("none", "round", "bit-depth:bits=3")
        for attack in ("pgd:steps=2", "fgsm")
    ]
    words = "--first 8 --steps 2 --bpda --defense round --defense bit-depth:bits=3 --attack pgd --attack fgsm"
    for number, norm in enumerate(("linf", "l2")):
        assert cli.main(["attack", *words.split(), "--norm", norm, "--out", norm, "--quiet"]) == 0
        mine, theirs = found[6 * number : 6 * number + 6].reset_index(drop=True), table(norm)
        names = [name for name in theirs.columns if name not in ("command", "run")]
        pd.testing.assert_frame_equal(mine[names], theirs[names], check_dtype=False)
    assert (Path("out/table.md").read_text().count("\n| ")) == 14
    assert "l2, eps = 0.5" in Path("out/table.md").read_text()
    assert "threat" in done.out


def test_every_run_is_one_that_attack_goes_on_with_by_its_own_command(sweep: Sweep) -> None:
    sweep(SMALL)
    before = stamps()
    for path in runs():
        command = json.loads((path / "run.json").read_text())["command"]
        assert command[:2] == ["advbench", "attack"]
        assert cli.main([*command[1:], "--quiet"]) == 0
    parts = {path: at for path, at in stamps().items() if path.parent.name == "parts"}
    assert parts.items() <= before.items()


def test_what_is_done_is_not_done_again(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sweep(SMALL)
    before, csv = stamps(), Path("out/table.csv").read_bytes()
    monkeypatch.setattr(module, "perform", None)
    again = sweep(SMALL)
    assert (again.code, again.out) == (0, first.out)
    assert "12 done already" in again.err
    assert stamps() == before
    assert Path("out/table.csv").read_bytes() == csv


def test_a_file_that_has_grown_adds_its_new_cells_alone(sweep: Sweep) -> None:
    sweep(SMALL)
    before = stamps()
    text = SMALL.replace('"round",', '"round", "round:step=0.5",')
    grown = text.replace("[defaults]", "[defaults]\nbatch_size = 4")  # how it is run makes no other cell
    assert sweep(grown).code == 0
    assert before.items() <= stamps().items()
    assert len(runs()) == 4
    old = {path.parent for path in before}
    new = [json.loads((each / "run.json").read_text())["settings"] for each in runs() if each not in old]
    assert [list(each["defenses"]) for each in new] == [["round:step=0.5"]] * 2
    assert table()["defense"].tolist()[:8:2] == ["none", "round", "round:step=0.5", "bit-depth:bits=3"]
    assert sweep(SMALL).code == 0
    assert len(table()) == 12


def test_other_settings_are_other_cells_and_overwrite_does_all_again(sweep: Sweep) -> None:
    sweep("[defaults]\nfirst = 8\nsteps = 1")
    before = stamps()
    sweep("[defaults]\nfirst = 8\nsteps = 1\nseed = 1")
    assert len(runs()) == 2
    assert table()["seed"].tolist() == [1]
    sweep("[defaults]\nfirst = 8\nsteps = 1", "--out out --overwrite")
    after = stamps()
    assert all(after[path] != at for path, at in before.items() if path in after)


def test_a_cell_that_fails_stops_no_other_and_its_reason_stands_in_its_row(sweep: Sweep) -> None:
    done = sweep(FAILING)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("advbench: error: 2 of 8 cells failed, the first: the model has no module")
    found = table()
    failed = found[found["defense"] == "round@nowhere"]
    assert failed["error"].str.contains("no module 'nowhere'").all()
    assert failed["clean_accuracy"].isna().all()
    others = found[found["defense"] != "round@nowhere"]
    assert others["error"].isna().all()
    assert others["clean_accuracy"].notna().all()
    assert len(others) == 6
    note = "– (pgd:steps=2, round@nowhere; fgsm, round@nowhere): the model has no module 'nowhere'."
    assert note in " ".join(done.out.split())
    assert note in Path("out/table.md").read_text()
    assert "digits, n = 8" in done.out
    mine = [cell for cell in accounts() if cell["defense"] == "round@nowhere"]
    states = [(cell["status"], cell["run"] is None) for cell in mine]
    assert states == [("failed", True)] * 2


def test_what_failed_is_tried_again_and_what_was_done_is_not(sweep: Sweep) -> None:
    sweep(FAILING)
    before = stamps()
    assert sweep(FAILING).code == 1
    assert stamps() == before
    assert sweep(FAILING.replace("nowhere", "layer1")).code == 0
    assert before.items() <= stamps().items()
    assert table()["clean_accuracy"].notna().all()


def test_a_model_that_fails_fails_its_own_cells_after_a_few_tries(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    performed = one_run.perform

    def counted(settings: RunSettings, **more: Any) -> Run | None:
        tries.append(settings)
        return performed(settings, **more)

    monkeypatch.setattr(module, "perform", counted)
    weights = load_file(WEIGHTS / "digits-cnn.safetensors")
    save_file({"weight": weights["linear.weight"]}, Path("other.safetensors"))
    listed = ", ".join(f'"round:step={each / 10}"' for each in range(1, 9))
    done = sweep(f"""
        defenses = [{listed}]
        [defaults]
        first = 4
        steps = 1
        [[models]]
        name = "broken"
        checkpoint = "other.safetensors"
        model = "digits-cnn"
        [[models]]
        name = "whole"
    """)
    assert done.code == 1
    assert "9 of 18 cells failed" in done.err
    assert len(tries) <= 6
    found = table()
    assert found.groupby("model")["clean_accuracy"].count().to_dict() == {"broken": 0, "whole": 9}
    assert found["error"].nunique() == 1


def test_an_error_that_nobody_has_thought_of_is_a_reason_too(sweep: Sweep) -> None:
    Path("models.py").write_text(
        "import torch\n\nclass Falls(torch.nn.Module):\n    def forward(self, x):\n"
        "        if x.requires_grad:\n            raise ZeroDivisionError('no gradient today')\n"
        "        return x.flatten(1)[:, :10]\n\ndef make():\n    return Falls()\n"
    )
    done = sweep("[defaults]\nfirst = 20\nmodel = './models.py:make'\ndataset = 'digits'\nbatch_size = 4")
    assert done.code == 1
    assert "ZeroDivisionError: no gradient today" in table()["error"][0]
    assert "Traceback" not in done.err


def test_a_damaged_run_is_done_again_from_its_parts(sweep: Sweep) -> None:
    sweep(SMALL)
    before = table()
    (runs()[0] / "samples.parquet").write_bytes(b"")
    done = sweep(SMALL)
    assert done.code == 0
    assert "is not as the run wrote it. It is done again from its parts." in done.err
    pd.testing.assert_frame_equal(table(), before)


def test_a_checkpoint_that_has_changed_is_noticed(sweep: Sweep) -> None:
    weights = load_file(WEIGHTS / "digits-cnn.safetensors")
    text = "[defaults]\nfirst = 8\nsteps = 1\ncheckpoint = 'my.safetensors'\nmodel = 'digits-cnn'\n"
    save_file(weights, Path("my.safetensors"))
    assert sweep(text).code == 0
    save_file({**weights, "linear.bias": weights["linear.bias"] + 1}, Path("my.safetensors"))
    done = sweep(text)
    assert done.code == 1
    assert "already holds another run (checkpoint was" in table()["error"][0]
    assert sweep(text, "--out out --overwrite").code == 0


def test_a_dry_run_tells_cells_and_time_and_writes_nothing(sweep: Sweep) -> None:
    done = sweep(SMALL, "--dry-run")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert sum("digits-cnn" in line for line in lines) == 12
    assert "12 cells in 2 runs, 12 to do: their attacks take about" in done.out
    assert sorted(each.name for each in Path().iterdir()) == ["sweep.toml"]
    sweep(SMALL)
    assert "12 cells in 2 runs, all of them done." in sweep(SMALL, "--dry-run --out out").out


def test_the_commands_of_a_dry_run_are_what_the_sweep_would_do(sweep: Sweep) -> None:
    planned = json.loads(sweep(SMALL, "--dry-run --json --out out").out)
    assert [each["state"] for each in planned] == ["to do"] * 12
    assert all(each["seconds"] > 0 for each in planned)
    for command in {tuple(each["command"]) for each in planned}:
        assert cli.main([*command[1:], "--quiet"]) == 0
    assert "12 done already" in sweep(SMALL).err
    assert [each["state"] for each in json.loads(sweep(SMALL, "--dry-run --json --out out").out)] == [
        "done"
    ] * 12


def test_json_is_all_that_stands_on_stdout_and_quiet_leaves_stderr_empty(sweep: Sweep) -> None:
    done = sweep(SMALL, "--out out --json --quiet --format json")
    assert (done.code, done.err) == (0, "")
    assert done.out == Path("out/table.json").read_text()
    assert not Path("out/table.csv").exists()
    assert [row["norm"] for row in json.loads(done.out)] == ["linf"] * 6 + ["l2"] * 6


def test_without_out_there_is_a_dated_folder(sweep: Sweep) -> None:
    assert sweep("[defaults]\nfirst = 4\nsteps = 1", "").code == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.endswith("-sweep-sweep")
    assert sorted(each.name for each in folder.iterdir()) == ["runs", "sweep.json", "table.csv", "table.md"]


def test_a_folder_that_holds_something_else_is_refused(sweep: Sweep) -> None:
    assert cli.main(["attack", "--first", "4", "--steps", "1", "--out", "out", "--quiet"]) == 0
    assert "out holds a run, no sweep" in sweep(SMALL).err
    shutil.rmtree("out")
    Path("out").mkdir()
    Path("out/table.csv").touch()
    done = sweep(SMALL)
    assert (done.code, "out holds table.csv, but no sweep" in done.err) == (2, True)
    Path("file").touch()
    assert "--out file is not a folder" in sweep(SMALL, "--out file").err


def test_torchrun_is_told_to_stay_away(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "join_ranks", lambda: Ranks(0, 2, 0, HashStore()))
    done = sweep(SMALL)
    assert done.code == 2
    assert "a sweep runs in one process. Start it without torchrun" in done.err


def parts(folder: Path) -> set[Path]:
    return set(folder.glob("out/runs/*/parts/*.parquet"))


LONG = """
threats = ["linf 0.15", "linf 0.1"]
defenses = ["round", "round:step=0.5"]
[defaults]
first = 64
steps = 60
batch_size = 16
bpda = true
"""


def test_a_stopped_sweep_says_so_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(LONG.replace("60", "1500").replace("64", "8").replace("16", "4"))
    process = subprocess.Popen(COMMAND, cwd=tmp_path, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE, text=True)
    while not parts(tmp_path) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "advbench: error: interrupted"
    assert json.loads((tmp_path / "out/sweep.json").read_text())["status"] == "interrupted"
    kept = parts(tmp_path)
    dry_run = [*COMMAND, "--dry-run"]
    dry = subprocess.run(dry_run, cwd=tmp_path, env=ENVIRONMENT, stdout=PIPE, text=True, check=True)
    assert "begun" in dry.stdout
    assert kept == parts(tmp_path)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was_and_ends_in_the_same_table(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        (folder / "sweep.toml").write_text(LONG)
    assert run_command(COMMAND[3:], whole, ENVIRONMENT).returncode == 0
    kept: set[Path] = set()
    for _ in range(4):
        process = subprocess.Popen(
            COMMAND, cwd=killed, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while len(parts(killed)) < len(kept) + 6 and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the sweep ended before it was killed often enough"
        assert kept <= parts(killed), "a finished part is never lost"
        kept = parts(killed)
    assert kept
    assert run_command(COMMAND[3:], killed, ENVIRONMENT).returncode == 0
    tables = [(folder / "out/table.csv").read_bytes() for folder in (whole, killed)]
    assert tables[0] == tables[1]
    assert kept <= parts(killed)
