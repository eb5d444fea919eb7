"""The epochs of trainings come back from their folders; what no training has written is refused."""

import json
import os
from pathlib import Path

import pytest

from advbench.errors import RunFolderError
from advbench.reports.training_runs import curves_of, is_training

HEADER = "epoch,lr,loss,accuracy,adver_loss,held_out,seconds\n"
EPOCHS = HEADER + "1,0.1,2.0,0.25,,0.5,1.5\n2,0.1,1.0,0.5,,0.75,1.5\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a plain training of two epochs."""
    (tmp_path / "run" / "plain").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "plain" / "metrics.csv").write_text(EPOCHS)
    return tmp_path / "run"


def test_a_training_is_known_by_its_epochs_and_has_no_heading(run: Path, tmp_path: Path) -> None:
    assert is_training(run)
    (run / "run.json").write_text(json.dumps({"heading": {}}))
    assert not is_training(run)
    (run / "run.json").unlink()
    assert not is_training(run)
    assert not is_training(tmp_path)
    assert not is_training(tmp_path / "missing")


def test_curves_are_those_of_every_way_and_leave_out_what_is_empty(run: Path) -> None:
    loss, accuracy = curves_of([run])
    assert loss.lines == {"plain, loss": [(1.0, 2.0), (2.0, 1.0)]}
    assert accuracy.lines == {
        "plain, training": [(1.0, 25.0), (2.0, 50.0)],
        "plain, held out": [(1.0, 50.0), (2.0, 75.0)],
    }
    (run / "apart").mkdir()
    (run / "apart" / "metrics.csv").write_text(EPOCHS)
    assert list(curves_of([run])[0].lines) == ["apart, loss", "plain, loss"]
    assert curves_of([]) == []


def test_several_trainings_are_told_apart_by_their_folders(run: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "plain").mkdir(parents=True)
    (tmp_path / "other" / "plain" / "metrics.csv").write_text(EPOCHS)
    assert list(curves_of([run, tmp_path / "other"])[0].lines) == ["run plain, loss", "other plain, loss"]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "holds no epochs of a training"),
        (HEADER.encode(), "holds no epochs of a training"),
        (HEADER.encode() + b",0.1,2.0\n", "holds no epochs of a training"),
        (HEADER.encode() + b"nan,0.1,2.0\n", "holds no epochs of a training"),
        (b"\xff\xfe", "cannot be read"),
        (HEADER.encode() + b"9" * 200_000, "cannot be read"),
    ],
)
def test_what_no_training_has_written_is_refused(contents: bytes, said: str, run: Path) -> None:
    (run / "plain" / "metrics.csv").write_bytes(contents)
    with pytest.raises(RunFolderError, match=said):
        curves_of([run])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that never ends")
def test_a_file_that_never_ends_is_not_waited_for(run: Path) -> None:
    (run / "plain" / "metrics.csv").unlink()
    os.mkfifo(run / "plain" / "metrics.csv")
    with pytest.raises(RunFolderError, match="cannot be read: it is a pipe, not a file"):
        curves_of([run])
