"""A sweep is told in Python by what its file would say, as a dictionary."""

import json
from pathlib import Path

import pytest

import advbench as ab
from advbench.defenses import Round
from advbench.errors import InputError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sweep_of_tables_is_the_sweep_of_the_file(untouched: None) -> None:
    tables = {
        "threats": ["linf 0.1", {"norm": "l2", "eps": 0.5}],
        "defenses": ("round",),
        "defaults": {"first": 4, "steps": 1},
    }
    Path("grid.toml").write_text(
        'threats = ["linf 0.1", { norm = "l2", eps = 0.5 }]\ndefenses = ["round"]\n'
        "[defaults]\nfirst = 4\nsteps = 1\n"
    )
    sweep = ab.sweep(tables, out="one")
    again = ab.sweep("grid.toml", out="other", formats=["csv"])
    assert [row.rates for row in sweep.rows] == [row.rates for row in again.rows]
    assert len(sweep.rows) == 4
    assert [run.heading.norm for run in sweep.runs] == ["linf", "l2"]
    assert sweep.manifest["status"] == json.loads(Path("one/sweep.json").read_text())["status"] == "done"
    assert "<table" in sweep._repr_html_()
    assert again.table("csv") == Path("other/table.csv").read_text()
    with pytest.raises(InputError, match="one holds a sweep; open one of its runs, one/runs/"):
        ab.open_run("one")


def test_a_fault_of_tables_is_told_with_its_place() -> None:
    with pytest.raises(InputError, match=r"^defaults\.step: there is no setting 'step'"):
        ab.sweep({"defaults": {"step": 1}})
    with pytest.raises(InputError, match=r"^defenses\.0: an entry of defenses must be a text or a table"):
        ab.sweep({"defenses": [Round()]})
    with pytest.raises(InputError, match="a sweep is a file or a dictionary, got list"):
        ab.sweep([])  # type: ignore[arg-type]  # what is tested
