"""A report in memory: tables, comparisons, figures and the page of the runs, and files that are its own."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import advbench as ab
from advbench import cli
from advbench.errors import InputError, RunFolderError, SpecError
from advbench.jobs.reported import Report, check_out
from advbench.reports.formats import FILE_NAMES
from advbench.reports.runs import Merged
from advbench.reports.style import PLAIN, Style


def test_a_report_returns_its_table(copied_run: Path, untouched: None) -> None:
    report = ab.report(copied_run)
    assert len(report.rows) == 2
    assert list(report.frame["defense"]) == ["none", "round"]
    for form, name in (("csv", "table.csv"), ("markdown", "table.md")):
        assert report.table(form) == (copied_run / name).read_text()  # type: ignore[arg-type]  # of the two
    assert report.page().rstrip().endswith("</html>")
    assert "ladder" in report.charts
    assert "<table" in report._repr_html_()
    assert not Path("report.json").exists()


def test_a_report_is_written_again_by_the_command_that_it_tells(copied_run: Path) -> None:
    runs: list[str | Path] = [copied_run, str(copied_run)]
    ab.report(runs, formats=list(FILE_NAMES), baseline=copied_run, out="one")
    words = json.loads(Path("one/report.json").read_text())["command"]
    written = {path.name: path.read_bytes() for path in Path("one").iterdir() if path.name != "report.json"}
    assert len(written) == 8
    for name in written:
        Path("one", name).unlink()
    assert cli.main([*words[1:], "--quiet"]) == 0
    assert {name: Path("one", name).read_bytes() for name in written} == written


def test_a_report_that_is_written_later_is_the_same(copied_run: Path, untouched: None) -> None:
    ab.report([copied_run], out="one").write("other", ["csv"])
    assert Path("one/table.csv").read_bytes() == Path("other/table.csv").read_bytes()


def test_a_report_is_never_written_over_a_run(copied_run: Path) -> None:
    with pytest.raises(ab.AdvbenchError, match="holds a run"):
        ab.report(copied_run).write(copied_run)


def test_runs_that_are_watched_give_their_last_report(copied_run: Path, untouched: None) -> None:
    report = ab.report(copied_run, watch=True)
    assert [row.defense for row in report.rows] == ["none", "round"]


NOTHING: Any = {"runs": [], "merged": Merged([], []), "compared": None, "trainings": [], "curves": []}


def test_a_report_is_the_table_of_its_runs(made_run: ab.Run) -> None:
    report = ab.report([made_run.path, made_run.path])
    assert report.rows == made_run.rows, "the same rows of the same images once"
    assert report.frame.equals(made_run.frame)
    assert repr(report).endswith(": 2 rows>")
    assert report.table(style=Style(columns=("defense",))).splitlines()[2] == "| defense |"
    assert list(report.charts) == ["ladder", "steps", "loss", "agreement"]


def test_a_baseline_is_there_from_the_start_or_not_at_all(made_run: ab.Run, copied_run: Path) -> None:
    report = ab.report(copied_run, baseline=made_run.path)
    assert json.loads(report.paired("json"))[0]["difference"] == 0.0
    for form in ("csv", "markdown", "latex"):
        assert "round" in report.paired(form)
    with pytest.raises(SpecError, match="there is nothing to compare with: a report has its baseline from"):
        ab.report(copied_run).paired()


def test_files_are_named_by_what_they_hold(made_run: ab.Run, copied_run: Path) -> None:
    report = ab.report(copied_run, baseline=made_run.path)
    files = report.files(["csv", "html"], [])
    assert sorted(files) == ["paired.csv", "report.html", "table.csv"]
    report.write("out", ["csv", "html"])
    told = json.loads(Path("out/report.json").read_text())
    assert sorted(told["files"]) == sorted(files)
    assert told["runs"] == [{"name": "run", "run": made_run.manifest["hash"], "done": True}]
    for name, contents in files.items():
        assert Path("out", name).read_bytes() == contents


@pytest.mark.parametrize(
    ("there", "overwrite", "said"),
    [
        ([], False, ""),
        (["notes.txt"], False, ""),
        (["table.csv", "report.json"], False, ""),
        (["table.csv"], True, ""),
        (["table.csv"], False, "out holds table.csv, but no report. Give another --out, or --overwrite."),
        (["paired.md"], False, "out holds paired.md, but no report."),
        (["report.html"], False, "out holds report.html, but no report."),
        (["run.json"], True, "out holds a run, whose tables are part of its evidence. Give another --out."),
        (["sweep.json", "report.json"], True, "out holds a run, whose tables are part of its evidence."),
    ],
)
def test_a_folder_is_taken_where_nothing_of_others_is_in_the_way(
    there: list[str], overwrite: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    for name in there:
        Path("out", name).touch()
    if not said:
        check_out(Path("out"), overwrite=overwrite)
        return
    with pytest.raises(RunFolderError) as refused:
        check_out(Path("out"), overwrite=overwrite)
    assert said in str(refused.value)


def test_a_report_of_nothing_has_nothing_to_show(tmp_path: Path) -> None:
    nothing = Report(**NOTHING, style=PLAIN)
    training = replace(nothing, trainings=[Path("trained")], curves=[object()])  # type: ignore[list-item]
    assert nothing._repr_html_() == ""
    assert nothing.charts == {}
    with pytest.raises(InputError, match="the runs have no rows"):
        nothing.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="trained is a training, which has its own table"):
        training.check_rows()
    training.check_rows(["svg"])


def test_a_folder_that_cannot_be_written_is_told_in_a_line(copied_run: Path) -> None:
    Path("file").touch()
    shutil.copytree(copied_run, "again")
    with pytest.raises(RunFolderError, match="file/out"):
        ab.report("again").write("file/out")
