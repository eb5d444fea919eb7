"""A run that is done: the same whether it was just made or is read from its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

import advbench as ab
from advbench.errors import InputError, RunFolderError, SpecError
from advbench.reports.style import Style
from advbench.runs.examples import read_examples

QUICK: dict[str, Any] = {"first": 8, "steps": 2}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_is_equal_to_the_one_that_is_read_again(untouched: None) -> None:
    run = ab.run(defenses=["round"], ladder=True, gradient_free="square:queries=5", out=Path("run"), **QUICK)
    again = ab.open_run("run")
    assert again == run
    assert again.rows == run.rows
    assert again.heading == run.heading
    assert again.verdicts == run.verdicts
    assert set(run.verdicts) == {("none", "pgd:steps=2"), ("round", "pgd:steps=2")}
    assert again.table("latex") == run.table("latex")
    assert ab.run(first=4, steps=1, out="other") != run


def test_kept_examples_are_read_a_file_at_a_time(made_run: ab.Run, copied_run: Path) -> None:
    cells = [(each.cell.defense, each.cell.rung, len(each.indices)) for each in made_run.examples]
    assert sorted(cells) == [("none", "shattered", 8), ("round", "bpda", 8), ("round", "shattered", 8)]
    with pytest.raises(RunFolderError, match="kept no examples; save_adversarial=True"):
        _ = ab.run(out="other", **QUICK).examples
    first, second, _ = sorted(Path("run/adversarial").iterdir())
    second.write_bytes(second.read_bytes() + b" ")
    examples = ab.open_run("run").examples
    assert next(examples).indices.equal(read_examples(first).indices), "what comes before is whole"
    with pytest.raises(RunFolderError, match="is not as the run wrote it"):
        next(examples)


def test_a_run_says_in_a_line_what_was_run_and_where_it_comes_from(made_run: ab.Run) -> None:
    assert repr(made_run).endswith("/run: digits-cnn, digits, linf eps 0.15, 2 rows>")
    assert made_run.origin["run"] == made_run.manifest["hash"]
    assert made_run.origin["command"].startswith("advbench attack --defense round")
    assert made_run.verdicts == {}, "only a ladder gives verdicts"
    assert list(made_run.frame["bpda_count"].isna()) == [True, False]


def test_a_table_looks_as_the_run_was_told_unless_another_look_is_given(made_run: ab.Run) -> None:
    assert made_run.table(style=Style(columns=("defense", "bpda"))).splitlines()[2] == "| defense | BPDA |"
    assert made_run.table("csv") == (made_run.path / "table.csv").read_text()
    assert made_run._repr_html_().count("<tr>") == 3


def test_figures_are_those_that_there_are_records_for(made_run: ab.Run) -> None:
    assert list(made_run.charts) == ["ladder", "steps", "loss"]
    assert list(ab.run(attacks="square:queries=3", first=2).charts) == ["ladder"]
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    with pytest.raises(SpecError, match=r"the run has no figure 'los'\. Did you mean 'loss'\?"):
        made_run.figure("los")


def test_a_run_is_known_by_its_folder_its_manifest_and_its_records(
    made_run: ab.Run, copied_run: Path
) -> None:
    again = ab.open_run(made_run.path)
    assert (again, hash(again)) == (made_run, hash(made_run))
    copy = ab.open_run(copied_run)
    assert copy.samples.equals(made_run.samples)
    assert copy != made_run, "it is another folder"
    assert made_run != "run"


def test_a_run_that_is_not_done_is_not_opened(copied_run: Path) -> None:
    said = json.loads((copied_run / "run.json").read_text())
    (copied_run / "run.json").write_text(json.dumps({**said, "status": "interrupted"}))
    with pytest.raises(InputError, match=r"run is not finished \(status 'interrupted'\)"):
        ab.open_run(copied_run)
