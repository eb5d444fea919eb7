"""Which cells of a sweep are done is read from its runs' own folders; nothing of others is replaced."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from advbench.errors import RunFolderError
from advbench.jobs.sweep.cells import Cell, Run, make_runs
from advbench.jobs.sweep.folder import check_sweep_free, open_sweep_folder, plan_runs
from advbench.models.network import WEIGHTS
from tests.jobs.sweep.files import cells_of

GRID = "threats = ['0.1', '0.2']\ndefenses = ['round', 'bit-depth']\nattacks = ['pgd']\n"
HOME = Path("home")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def left(run: Run, status: str = "done", sha256: str | None = None) -> None:
    """The folder of a run, as far as a plan looks at it."""
    settings = {"defenses": dict.fromkeys(run.defenses), "attacks": dict.fromkeys(run.attacks)}
    folder = HOME / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    said = {"status": status, "settings": settings, "checkpoint": {"sha256": sha256}}
    (folder / "run.json").write_text(json.dumps(said))


def plan(cells: Sequence[Cell], *, anew: bool = False) -> list[tuple[str, int]]:
    """The state of each planned run, and how many cells it has."""
    planned = plan_runs(cells, HOME, anew=anew)
    keys = [cell.key for each in planned for cell in each.run.cells]
    assert sorted(keys) == sorted(cell.key for cell in cells), "each cell once"
    return [(each.state, len(each.run.cells)) for each in planned]


def test_what_is_done_and_what_is_begun_is_found_and_the_rest_is_to_do() -> None:
    cells = cells_of(GRID)
    first, second = make_runs(cells)
    assert plan(cells) == [("to do", 3), ("to do", 3)]
    left(first)
    left(second, "interrupted")
    assert plan(cells) == [("done", 3), ("begun", 3)]
    assert plan(cells, anew=True) == [("to do", 3), ("to do", 3)]


def test_a_grid_that_has_grown_has_its_new_cells_to_do() -> None:
    for run in make_runs(cells_of(GRID)):
        left(run)
    more = cells_of(GRID.replace("'bit-depth'", "'bit-depth', 'jpeg'"))
    assert plan(more) == [("done", 3), ("to do", 1), ("done", 3), ("to do", 1)]
    fewer = cells_of(GRID.replace(", 'bit-depth'", ""))
    assert plan(fewer) == [("done", 2), ("done", 2)]


def test_a_run_that_would_fill_cells_of_nobodys_is_not_gone_on_with() -> None:
    first, _ = make_runs(cells_of(GRID))
    left(first, "interrupted")
    fewer = cells_of(GRID.replace(", 'bit-depth'", ""))
    assert plan(fewer) == [("to do", 2), ("to do", 2)]


def test_other_settings_and_folders_that_are_no_runs_do_not_count() -> None:
    for run in make_runs(cells_of(f"{GRID}[defaults]\nseed = 1")):
        left(run)
    (HOME / "damaged-00000000-00000000").mkdir()
    (HOME / "damaged-00000000-00000000/run.json").write_text("{")
    assert plan(cells_of(GRID)) == [("to do", 3), ("to do", 3)]


def test_a_run_of_other_weights_is_begun_and_not_done() -> None:
    weights = Path("weights.safetensors")
    weights.write_bytes((WEIGHTS / "digits-cnn.safetensors").read_bytes())
    cells = cells_of(f"[defaults]\ncheckpoint = '{weights}'\nmodel = 'digits-cnn'")
    (run,) = make_runs(cells)
    for sha256, state in ((hashlib.sha256(weights.read_bytes()).hexdigest(), "done"), ("0" * 64, "begun")):
        left(run, sha256=sha256)
        assert plan(cells) == [(state, 1)]


@pytest.mark.parametrize(
    ("there", "overwrite", "said"),
    [
        ([], False, ""),
        (["sweep.json", "table.csv"], False, ""),
        (["table.csv"], True, ""),
        (["notes.txt"], False, ""),
        (["table.csv"], False, "out holds table.csv, but no sweep. Give another --out, or --overwrite."),
        (["run.json"], True, "out holds a run, no sweep. Give another --out."),
    ],
)
def test_a_folder_of_something_else_is_refused(there: list[str], overwrite: bool, said: str) -> None:
    out = Path("out")
    out.mkdir()
    for name in there:
        (out / name).touch()
    if not said:
        check_sweep_free(out, overwrite=overwrite)
        return
    with pytest.raises(RunFolderError) as refused:
        check_sweep_free(out, overwrite=overwrite)
    assert said in str(refused.value)


def test_an_open_folder_tells_its_tables_with_their_digests_and_has_one_writer() -> None:
    folder = open_sweep_folder(Path("out"), "grid", {"status": "running"}, overwrite=False)
    folder.write_text("table.csv", "a,b\n")
    folder.update(status="done")
    said = json.loads(Path("out/sweep.json").read_text())
    assert said["files"] == {"table.csv": hashlib.sha256(Path("out/table.csv").read_bytes()).hexdigest()}
    assert said["status"] == "done"
    assert folder.runs.is_dir()
    with pytest.raises(RunFolderError):
        open_sweep_folder(Path("out"), "grid", {}, overwrite=True)
    folder.release()
    open_sweep_folder(Path("out"), "grid", {}, overwrite=False).release()
