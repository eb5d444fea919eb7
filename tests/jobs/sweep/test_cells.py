"""The cells of a grid, and the fewest runs that fill them."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from advbench.jobs.sweep.cells import make_cells, make_runs
from advbench.jobs.sweep.file import read_grid
from tests.jobs.sweep.files import SWEEPS, cells_of


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_grid_is_the_product_in_the_order_of_the_table() -> None:
    cells = cells_of("""
        threats = ["8/255", "l2 0.5"]
        defenses = ["round", "bit-depth:bits=3+round@logits"]
        attacks = ["pgd", "square"]
        models = ["digits-cnn", { name = "again", model = "digits-cnn", seed = 1 }]
    """)
    assert len(cells) == 2 * 2 * 3 * 2
    assert [(cell.defense, cell.attack) for cell in cells[:6]] == [
        (defense, attack)
        for defense in ("none", "round", "bit-depth:bits=3+round@logits")
        for attack in ("pgd", "square")
    ]
    assert [cell.threat.norm for cell in cells[:12:6]] == ["linf", "l2"]
    assert [cell.threat.text for cell in cells[:12:6]] == ["8/255", "0.5"]
    assert [cell.model for cell in cells[::12]] == ["digits-cnn", "again"]
    assert [(each.defenses, each.attacks) for each in make_runs(cells)] == [
        (("round", "bit-depth:bits=3+round@logits"), ("pgd", "square"))
    ] * 4


def test_an_empty_file_is_the_default_attack() -> None:
    (cell,) = cells_of("")
    assert (cell.model, cell.defense, cell.attack, cell.threat.text) == ("digits-cnn", "none", "pgd", "0.15")
    (run,) = make_runs([cell])
    assert run.words(Path("runs"))[:4] == ["advbench", "attack", "--attack", "pgd"]


def test_cells_with_settings_of_their_own_run_apart_and_nothing_runs_twice() -> None:
    cells = cells_of("""
        defenses = ["round", { defense = "bit-depth", eot = 2 }, "round:step=0.5"]
        attacks = ["pgd", { attack = "square", eot = 2 }]
    """)
    runs = make_runs(cells)
    filled = [(cell.key, run.values.get("eot")) for run in runs for cell in run.cells]
    assert sorted(key for key, _ in filled) == sorted(cell.key for cell in cells)
    for run in runs:
        wanted = {(cell.defense, cell.attack) for cell in run.cells}
        assert {(defense, attack) for defense in run.defenses for attack in run.attacks} <= wanted


def test_how_it_is_run_does_not_change_what_a_cell_is() -> None:
    (one,), (other,) = cells_of("[defaults]\nseed = 1"), cells_of("[defaults]\nseed = 1\nbatch_size = 4")
    (third,) = cells_of("[defaults]\nseed = 2")
    assert one.identity == other.identity != third.identity


@pytest.mark.parametrize("path", SWEEPS, ids=[each.stem for each in SWEEPS])
def test_the_sweeps_of_the_repository_name_what_there_is(path: Path, shared: Path) -> None:
    for name in ("checkpoints", "data"):
        Path(name).symlink_to(shared / name)
    np.save("bank.npy", np.zeros((20, 3, 5, 5), dtype=np.float32))  # which the file says how to make
    cells = make_cells(read_grid(path))
    assert all(shlex.join(run.words(Path("x"))) for run in make_runs(cells))


def test_a_run_is_split_by_its_defenses_then_by_its_attacks_down_to_single_cells() -> None:
    (run,) = make_runs(cells_of("defenses = ['round', 'bit-depth']\nattacks = ['pgd', 'fgsm']"))
    parts = run.split()
    assert [(each.defenses, each.attacks) for each in parts] == [
        (("round",), ("pgd", "fgsm")),
        (("bit-depth",), ("pgd", "fgsm")),
    ]
    assert "none" in {cell.defense for cell in parts[0].cells}, "what it fails by, everything fails by"
    whole = {cell.key for cell in run.cells}
    while any(len(each.cells) > 1 for each in parts):
        parts = [half for each in parts for half in each.split()]
        assert sorted(cell.key for each in parts for cell in each.cells) == sorted(whole)
    assert len({each.folder for each in parts}) == len(whole) == 6
    assert all(each.split() == [each] for each in parts)


def test_points_of_a_curve_differ_by_their_radius_alone() -> None:
    cells = cells_of("threats = ['0.1', '0.2', 'l2 0.5']\n[defaults]\nseed = 1")
    (other,) = cells_of("threats = ['0.1']\n[defaults]\nseed = 2")
    assert len({cell.identity for cell in cells}) == 3
    assert len({cell.identity_beside_radius for cell in cells}) == 1
    assert other.identity_beside_radius != cells[0].identity_beside_radius


def test_a_cell_that_failed_is_a_row_with_its_names_and_no_numbers() -> None:
    (cell,) = cells_of("threats = ['l2 0.5']")
    row = cell.failed("it broke")
    assert (row.model, row.dataset, row.norm, row.eps, row.defense, row.attack) == cell.key
    assert (row.n, row.rates, row.error) == (0, {}, "it broke")


def test_a_run_is_the_settings_that_its_command_says() -> None:
    (run,) = make_runs(cells_of("defenses = ['round']\n[defaults]\nsteps = 7\nfirst = 3"))
    options = run.options(Path("home"), overwrite=True)
    assert (options.defenses, options.attacks) == (("round",), ("pgd:steps=7",))
    assert (options.out, options.overwrite, options.quiet) == (Path("home") / run.folder, True, True)
    assert list(options.command) == [*run.words(Path("home")), "--overwrite"]
    assert options.steps is None, "it is a parameter of the attack already"
