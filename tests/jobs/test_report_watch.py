"""`advbench report --watch`: a run is shown while it goes on, and no rate before all its images are done."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import pytest

from advbench import cli
from advbench.errors import RunFolderError
from advbench.results.records import SoFar
from advbench.results.table import rows_of
from advbench.runs.read import read_records
from advbench.runs.read_unfinished import UNJUDGED, GrowingRun, rows_so_far

COMMAND = [sys.executable, "-m", "advbench"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
RUN = "attack --defense round --ladder --substitute identity --first 24 --batch-size 8 --quiet --out run"
SWEEP = "attacks = ['fgsm']\nthreats = ['0.1', '0.2']\n[defaults]\ndataset = 'digits'\nfirst = 8\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert cli.main([*RUN.split(), "--steps", "3"]) == 0
    return home / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Path(shutil.copytree(made, "run"))


def unfinish(run: Path, parts: int, status: str = "running", **changes: Any) -> None:
    """A folder as the run left it after so many parts."""
    said = json.loads((run / "run.json").read_text())
    rest = ("heading", "files", "finished", "candidates", "warnings", "tables")
    said = {name: each for name, each in said.items() if name not in rest}
    (run / "run.json").write_text(json.dumps({**said, "status": status, **changes}))
    (run / "samples.parquet").unlink(missing_ok=True)
    for part in sorted((run / "parts").iterdir())[parts:]:
        part.unlink()


def test_a_rung_has_its_rate_once_all_images_are_done_and_it_is_the_final_one(run: Path) -> None:
    whole = read_records(run)
    final = {row.defense: row for row in rows_of(whole.samples, whole.heading)}
    parts = len(list((run / "parts").iterdir()))
    seen = 0
    for left in range(parts, -1, -1):
        unfinish(run, left)
        for row in rows_so_far(GrowingRun(run).read()):
            wanted = final[row.defense]
            assert set(row.rates) | set(row.pending) == set(wanted.rates)
            assert not set(row.rates) & set(row.pending)
            assert {rung: (each.count, each.n) for rung, each in row.rates.items()} == {
                rung: (wanted.rates[rung].count, wanted.rates[rung].n) for rung in row.rates
            }
            assert all(row.pairs[rung] == wanted.pairs[rung] for rung in row.pairs)
            for rung, each in row.pending.items():
                assert each.standing <= each.done < row.n == 24
                assert each.standing <= wanted.rates[rung].count
            assert row.verdict == (UNJUDGED if "worst" in row.rates else "")
            seen += len(row.pending)
    assert seen > 20
    assert all(
        each == SoFar(0, 0) for row in rows_so_far(GrowingRun(run).read()) for each in row.pending.values()
    )


def test_each_part_is_read_once_and_one_that_is_gone_or_damaged_does_not_count(run: Path) -> None:
    unfinish(run, 6)
    growing = GrowingRun(run)
    before = growing.read().samples
    kept = dict(growing.parts)
    first, second = sorted((run / "parts").iterdir())[:2]
    first.unlink()
    after = growing.read().samples
    assert len(after) < len(before)
    assert all(growing.parts[name] is kept[name] for name in growing.parts)
    assert first.name not in growing.parts
    second.write_bytes(second.read_bytes()[:-1])
    assert len(GrowingRun(run).read().samples) < len(after)


@pytest.mark.parametrize(
    "settings",
    [None, {"model": 3}, {"attacks": ["pgd"]}, {"defenses": None}, {"rungs": "bpda"}, {"eps": None}],
)
def test_a_forged_manifest_is_refused(run: Path, settings: Any) -> None:
    said = json.loads((run / "run.json").read_text())["settings"]
    unfinish(run, 6, settings=settings and {**said, **settings})
    with pytest.raises(RunFolderError, match=r"run\.json: settings\S* (must be|is missing)"):
        GrowingRun(run).read()


@pytest.mark.parametrize("n", [None, 0, -3, "24", 2.5])
def test_a_forged_number_of_images_is_refused(run: Path, n: Any) -> None:
    unfinish(run, 6, data={"n": n})
    with pytest.raises(RunFolderError, match=r"run\.json: data\.n must be"):
        GrowingRun(run).read()


def test_a_run_that_was_interrupted_is_shown_as_far_as_it_has_come(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinish(run, 8, "interrupted")
    words = "report run --watch --format csv,markdown,json,latex,html --out out"
    assert cli.main(words.split()) == 1
    shown = capsys.readouterr()
    assert "run (interrupted). The same command goes on." in shown.err
    assert "NOT FINISHED (round): " in shown.out
    lines = list(csv.DictReader(Path("out/table.csv").read_text().splitlines()))
    assert [line["shattered_done"] for line in lines] == ["24", "0"]
    assert [line["shattered_accuracy"] == "" for line in lines] == [False, True]
    for name in ("table.md", "table.tex", "report.html"):
        assert "NOT FINISHED (round): " in Path("out", name).read_text(encoding="utf-8")
    assert json.loads(Path("out/table.json").read_text())[1]["shattered_accuracy"] is None
    assert json.loads(Path("out/report.json").read_text())["runs"][0]["done"] is False


def test_a_run_that_is_done_is_watched_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "run"]) == 0
    plain = capsys.readouterr().out
    assert cli.main(["report", "run", "--watch"]) == 0
    assert capsys.readouterr() == (plain, "")


@pytest.mark.parametrize("words", ["--format csv", "--json", "--format html"])
def test_formats_that_are_written_again_need_a_folder(
    run: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert cli.main(["report", "run", "--watch", *words.split()]) == 2
    assert "needs a folder for them: --out DIR" in capsys.readouterr().err


def test_without_watch_a_run_under_way_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinish(run, 6)
    assert cli.main(["report", "run"]) == 2
    assert "run is not finished (status 'running')" in capsys.readouterr().err


def test_the_cells_of_a_sweep_that_are_to_come_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    Path("sweep.toml").write_text(
        "attacks = ['fgsm']\nthreats = ['0.1', '0.2']\n[defaults]\ndataset = 'digits'\nfirst = 8\n"
    )
    assert cli.main(["sweep", "sweep.toml", "--out", "swept", "--quiet"]) == 0
    said = json.loads(Path("swept/sweep.json").read_text())
    said["status"] = "interrupted"
    said["cells"][1] |= {"status": "to do", "run": None}
    Path("swept/sweep.json").write_text(json.dumps(said))
    capsys.readouterr()
    assert cli.main(["report", "swept", "--watch"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "NOT BEGUN: linf, eps = 0.2, none." in shown
    assert "digits, n = 8" in shown


class Watching(NamedTuple):
    run: subprocess.Popen[str]
    watch: subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str, str], Watching]]:
    """A run in the background, and a report that watches it from before it begins."""
    started: list[subprocess.Popen[str]] = []

    def begin(words: str, watch: str) -> Watching:
        for each in (watch, words):
            line = [*COMMAND, *each.split()]
            process = subprocess.Popen(
                line, cwd=tmp_path, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE, text=True
            )
            started.append(process)
        return Watching(started[1], started[0])

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_is_shown_while_it_goes_on_and_at_last_as_it_is(
    tmp_path: Path, start: Callable[[str, str], Watching]
) -> None:
    running = start(f"{RUN} --steps 200", "report run --watch --format csv,html --out out")
    page, pages = tmp_path / "out/report.html", set[str]()
    while running.watch.poll() is None:
        if page.exists():
            pages.add(page.read_text(encoding="utf-8"))
        time.sleep(0.02)
    out, err = running.watch.communicate()
    assert (running.watch.returncode, running.run.wait()) == (0, 0)
    assert err.startswith("waiting for run to begin; Ctrl-C ends\nwritten to out\n")
    tables = out.split("model: digits-cnn;")[1:]
    assert len(tables) > 1
    unfinished = ["NOT FINISHED" in each or "NOT BEGUN" in each for each in tables]
    assert (unfinished[0], unfinished[-1]) == (True, False)
    assert len(pages) > 1
    assert all(each.rstrip().endswith("</html>") for each in pages)
    assert (tmp_path / "out/table.csv").read_bytes() == (tmp_path / "run/table.csv").read_bytes()


def test_ctrl_c_ends_the_watch_and_not_the_run(tmp_path: Path, start: Callable[[str, str], Watching]) -> None:
    running = start("attack --defense round --first 8 --steps 100000 --out run", "report run --watch")
    assert running.watch.stdout is not None
    line = running.watch.stdout.readline()  # a first table is there
    assert line.startswith("model: digits-cnn;")
    running.watch.send_signal(signal.SIGINT)
    _, err = running.watch.communicate(timeout=30)
    assert (running.watch.returncode, err.splitlines()[-1]) == (130, "advbench: error: interrupted")
    assert "Traceback" not in err
    assert running.run.poll() is None
