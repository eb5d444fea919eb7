"""A sweep that is done: a row a cell, those that failed told apart, and the runs behind the others."""

from dataclasses import replace
from pathlib import Path

import pytest

import advbench as ab
from advbench.errors import RunFolderError
from advbench.jobs.sweep.finished import Outcome, Sweep
from advbench.reports import table_frame
from advbench.reports.style import PLAIN, Style
from tests.reports.records import NONE, ORIGIN, ROUND

FAILED = replace(NONE, n=0, defense="round@nowhere", rates={}, reasons={}, error="there is no such place")
JUDGED = replace(ROUND, verdict="masked: attacks with BPDA")
SWEEP = Sweep(
    Path("out"),
    {"status": "done"},
    (Outcome(NONE, ORIGIN, "a"), Outcome(JUDGED, ORIGIN, "a"), Outcome(FAILED, {}, "b")),
    PLAIN,
)


def test_rows_are_those_of_the_cells_in_their_order() -> None:
    assert SWEEP.rows == (NONE, JUDGED, FAILED)
    assert SWEEP.failed == (FAILED,)
    assert SWEEP.verdicts == {("net", "8/255", "round", "pgd:steps=40"): JUDGED.verdict}
    assert SWEEP.origins == [ORIGIN, ORIGIN, {}]
    assert SWEEP.frame.equals(table_frame(SWEEP.rows))
    assert repr(SWEEP) == "<Sweep out: 3 cells, 1 failed>"
    assert repr(replace(SWEEP, outcomes=SWEEP.outcomes[:2])) == "<Sweep out: 2 cells>"


def test_a_table_has_the_sweeps_look_unless_another_is_given() -> None:
    sweep = replace(SWEEP, style=Style(columns=("defense", "bpda")))
    assert sweep.table().splitlines()[2] == "| defense | BPDA |"
    assert sweep.table(style=PLAIN) == SWEEP.table() != sweep.table()
    assert "there is no such place" in SWEEP.table()
    assert SWEEP._repr_html_().count("<tr>") == 4


def test_a_cell_that_fails_is_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untouched: None
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ab.sweep({"defenses": ["round@nowhere"], "defaults": {"first": 4, "steps": 1}}, out="out")
    assert [row.defense for row in sweep.failed] == ["round@nowhere"]
    assert "nowhere" in sweep.failed[0].error
    assert repr(sweep) == "<Sweep out: 2 cells, 1 failed>"
    assert [run.rows for run in sweep.runs] == [sweep.rows[:1]], "a run a folder, and none of what failed"
    (folder,) = {run.path for run in sweep.runs}
    (folder / "samples.parquet").write_bytes(b"")
    with pytest.raises(RunFolderError, match=r"samples\.parquet"):
        _ = replace(sweep).runs
