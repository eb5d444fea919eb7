"""The adversarial tensor: judged afresh, it gives the row's own number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import advbench
from advbench.errors import RunFolderError
from advbench.jobs.board_examples import board_examples, pack_board_examples
from advbench.reports.exports import Exported, write_exports
from advbench.reports.hub import HubNames
from advbench.reports.outcomes import outcomes_of
from advbench.reports.robustbench import BOARDS
from advbench.reports.runs import Merged, ReportedRun, merge_rows, read_runs
from advbench.results.records import Row


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("board")
    words: dict[str, Any] = {
        "defenses": ["round"],
        "bpda": True,
        "substitutes": ["identity"],
        "steps": 3,
        "save_adversarial": True,
    }
    advbench.run(out=home / "whole", **words)
    advbench.run(out=home / "part", **words, first=5)
    return home


def read(path: Path) -> tuple[Row, ReportedRun]:
    (run,), failed = read_runs([path])
    merged = merge_rows([run], failed)
    (row,) = (row for row in merged.rows if row.defense == "round")
    return row, run


def judged(tensor: torch.Tensor) -> torch.Tensor:
    """Which images are right behind the defense, by a forward pass that knows no run."""
    data = advbench.load_data("digits")
    model = advbench.load_model("digits-cnn", data=data)
    defended = advbench.DefendedModel(model, advbench.defense("round"))
    with torch.no_grad():
        predicted: torch.Tensor = defended(tensor).argmax(1)
    return predicted.eq(torch.as_tensor(data.labels))


@pytest.mark.slow
def test_the_tensor_gives_the_worst_of_the_rungs_when_it_is_judged_afresh(home: Path) -> None:
    row, run = read(home / "whole")
    tensor = board_examples(row, run, None)
    samples = run.records.samples[run.records.samples["defense"] == "round"]
    stands = samples.groupby("index")["robust"].all().sort_index()
    assert (tensor.dtype, len(tensor)) == (torch.float32, len(stands))
    assert 0 <= tensor.min() <= tensor.max() <= 1
    assert judged(tensor).tolist() == stands.tolist()
    assert 0 < stands.sum() < row.rates["shattered"].count, "both rungs must have felled images"


@pytest.mark.slow
def test_a_submission_is_written_with_its_tensor(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, run = read(home / "whole")
    ladder = replace(row, rates={**row.rates, "worst": row.rates["bpda"]})
    monkeypatch.setitem(BOARDS, "digits", row.n)
    exported = Exported(
        outcomes=outcomes_of(Merged([ladder], [run])),
        hub=HubNames(model="Me2026Digits"),
        examples=lambda outcome: pack_board_examples(outcome.row, run, None),
    )
    write_exports(tmp_path, ["robustbench"], exported, overwrite=False)
    assert (
        json.loads((tmp_path / "model_info/digits/Linf/Me2026Digits.json").read_text())["dataset"] == "digits"
    )
    tensor = torch.load(tmp_path / "Me2026Digits.pt", weights_only=True)
    assert torch.equal(tensor, board_examples(row, run, None))


def test_a_part_of_a_test_set_is_refused(home: Path) -> None:
    with pytest.raises(RunFolderError, match="does not hold every image of the test set"):
        board_examples(*read(home / "part"), None)


def test_a_run_without_examples_is_refused(tmp_path: Path) -> None:
    advbench.run(out=tmp_path / "none", defenses=["round"], steps=2, first=3)
    with pytest.raises(RunFolderError, match="attack with --save-adversarial"):
        board_examples(*read(tmp_path / "none"), None)
