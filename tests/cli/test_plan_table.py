"""What a sweep would do, printed: its cells, how far they are, and how long the rest takes at most."""

import json
from pathlib import Path
from typing import Any

import pytest

from advbench.cli import plan_table
from advbench.cli.plan_table import print_plan
from advbench.errors import InputError
from advbench.jobs.sweep.cells import Cell, make_cells, make_runs
from advbench.jobs.sweep.file import grid_of_tables
from advbench.jobs.sweep.folder import Planned


class Told:
    """Estimates that depend on the attack, and that a model may defeat."""

    def seconds(self, cell: Cell) -> float | None:
        if cell.model == "broken":
            raise InputError("there are no weights")
        return {"pgd": 90.0, "fgsm": 3.0}.get(cell.attack)


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_table, "Estimates", Told)
    monkeypatch.setenv("COLUMNS", "100")


def planned(*states: str, **tables: Any) -> tuple[list[Planned], list[Cell]]:
    cells = make_cells(grid_of_tables(tables))
    return [Planned(run, state) for run, state in zip(make_runs(cells), states, strict=True)], cells


def test_cells_stand_in_their_order_with_their_state_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    runs, cells = planned("to do", "done", threats=["0.1", "0.2"], attacks=["pgd", "fgsm"])
    print_plan(runs, cells, Path("home"), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0].strip() == "model"
    assert [line.split() for line in lines[2:6]] == [
        ["digits-cnn", "linf", "0.1", "pgd", "none", "to", "do", "90", "s"],
        ["digits-cnn", "linf", "0.1", "fgsm", "none", "to", "do", "3", "s"],
        ["digits-cnn", "linf", "0.2", "pgd", "none", "done"],
        ["digits-cnn", "linf", "0.2", "fgsm", "none", "done"],
    ]
    said = " ".join(" ".join(lines[6:]).split())
    assert said.startswith("4 cells in 2 runs, 2 to do: their attacks take about 93 s at most")


def test_where_all_is_done_nothing_is_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    runs, cells = planned("done", models=[{"name": "broken"}])
    print_plan(runs, cells, Path("home"), as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == "1 cells in 1 runs, all of them done."


def test_what_cannot_be_told_says_why_and_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    models = [{"name": "broken"}, {"name": "whole [bold]", "seed": 1}]
    runs, cells = planned("to do", "begun", models=models, attacks=["pgd", "square"])
    print_plan(runs, cells, Path("home"), as_json=False)
    printed = capsys.readouterr().out
    said = " ".join(printed.split())
    assert "4 to do: their attacks take about 90 s at most" in said
    assert "–: not known, and not counted." in said
    assert said.count("– (broken): there are no weights") == 1
    assert "whole [bold]" in printed, "names are no markup"


def test_json_has_every_cell_with_the_command_of_its_run(capsys: pytest.CaptureFixture[str]) -> None:
    runs, cells = planned("begun", models=[{"name": "broken"}], threats=["l2 0.5"], defenses=["round"])
    print_plan(runs, cells, Path("home"), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [each["defense"] for each in told] == ["none", "round"]
    for each in told:
        assert (each["model"], each["dataset"], each["norm"], each["eps"]) == (
            "broken",
            "digits",
            "l2",
            "0.5",
        )
        assert (each["state"], each["seconds"], each["reason"]) == ("begun", None, "there are no weights")
        assert each["command"] == runs[0].run.words(Path("home"))
