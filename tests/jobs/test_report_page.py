"""The page of a report: its figures, its gallery, every setting of its runs, and no name trusted."""

from pathlib import Path

import pytest

import advbench as ab
from advbench.errors import RunFolderError
from advbench.jobs.report_page import charts_of, page_of, pictures_of, write_page
from advbench.reports.runs import ReportedRun, merge_rows, read_runs
from advbench.reports.style import PLAIN
from tests.forging import forge_settings, manifest_of


def reported(path: Path) -> list[ReportedRun]:
    runs, failed = read_runs([path])
    assert not failed
    return list(runs)


def test_a_page_has_the_figures_pictures_and_settings_of_its_runs(made_run: ab.Run) -> None:
    runs = reported(made_run.path)
    merged = merge_rows(runs, [])
    charts = [chart.name for chart in charts_of(runs, merged, PLAIN)]
    assert charts == ["ladder", "steps", "loss", "agreement"]
    text = page_of(runs, merged, PLAIN)
    assert "<title>Robustness of digits-cnn</title>" in text
    assert text.count("data:image/png") >= 2
    for said in ("attacks.pgd:steps=2.steps", "images shown to the model", made_run.manifest["hash"]):
        assert said in text
    assert text == page_of(runs, merged, PLAIN), "the same runs give the same page"


def test_pictures_are_shared_out_among_the_runs_and_never_none_of_one(made_run: ab.Run) -> None:
    (run,) = reported(made_run.path)
    alone, without = pictures_of([run], None, 6)
    assert without == ""
    assert 0 < len(alone) <= 6
    twice, _ = pictures_of([run, run], None, 1)
    assert len(twice) == 2
    assert pictures_of([], None, 6) == ([], "")


def test_why_there_are_no_pictures_is_said(copied_run: Path) -> None:
    for file in Path("run/adversarial").iterdir():
        file.write_bytes(b"")
    pictures, without = pictures_of(reported(copied_run), None, 6)
    assert pictures == []
    assert without.startswith("run: ")
    forge_settings(Path("run"), {**manifest_of(Path("run"))["settings"], "save_adversarial": None})
    assert pictures_of(reported(copied_run), None, 6) == ([], "")


def test_a_run_has_its_page_beside_its_tables_and_names_are_text_there(copied_run: Path) -> None:
    weights = "<script>alert(1)</script>"
    forge_settings(Path("run"), {**manifest_of(Path("run"))["settings"], "weights": weights})
    write_page(copied_run, PLAIN)
    text = Path("run/report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.rstrip().endswith("</html>")


@pytest.mark.parametrize("settings", [None, 3, [], "x"])
def test_a_run_whose_settings_are_none_has_no_page(settings: object, copied_run: Path) -> None:
    forge_settings(Path("run"), settings)
    with pytest.raises(RunFolderError, match="settings must be a group of entries"):
        reported(copied_run)
