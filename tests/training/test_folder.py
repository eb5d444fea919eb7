"""A training's folder: weights, numbers and state of each way of training, and one writer."""

import json
from pathlib import Path

import pytest

from advbench.errors import RunFolderError
from advbench.training.folder import BEST, LAST, METRICS, STATE, metrics, open_training_folder
from advbench.training.state import read_state
from tests.training.small_trainings import RECIPES, fresh, trained


def test_metrics_leave_empty_what_there_is_not() -> None:
    header, first, *_ = metrics(trained(RECIPES["plain"]).history).splitlines()
    values = dict(zip(header.split(","), first.split(","), strict=True))
    assert values["epoch"] == "1"
    assert values["adver_loss"] == ""
    assert float(values["held_out"]) <= 1
    assert json.loads(values["loss"]) > 0


MANIFEST = {"settings": {"lr": 0.1}, "status": "running"}


def test_what_is_kept_after_an_epoch_is_the_weights_the_numbers_and_the_state(tmp_path: Path) -> None:
    training = trained(RECIPES["plain"])
    folder = open_training_folder(tmp_path / "run", "net", MANIFEST, ways=["plain"])
    folder.keep("plain", training, training.model, {"seed": "0"})
    home = tmp_path / "run" / "plain"
    is_best = training.best == training.epoch
    expected = {LAST, METRICS, STATE, *([BEST] if is_best else [])}
    assert {each.name for each in home.iterdir()} == expected
    assert (home / METRICS).read_text() == metrics(training.history)
    again = fresh(RECIPES["plain"])
    read_state(again, home / STATE)
    assert again.epoch == training.epoch
    folder.release()


def test_in_the_middle_of_an_epoch_the_state_alone_is_kept(tmp_path: Path) -> None:
    training = fresh(RECIPES["plain"])
    training.step = 1
    folder = open_training_folder(tmp_path / "run", "net", MANIFEST, ways=["plain"])
    folder.keep("plain", training, training.model, {})
    assert [each.name for each in (tmp_path / "run" / "plain").iterdir()] == [STATE]
    folder.release()


def test_the_same_training_goes_on_another_is_refused_and_overwrite_clears(tmp_path: Path) -> None:
    open_training_folder(tmp_path, "net", MANIFEST, ways=["plain"]).release()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / LAST).touch()
    open_training_folder(tmp_path, "net", MANIFEST, ways=["plain"]).release()
    assert (tmp_path / "plain" / LAST).exists()
    other = {**MANIFEST, "settings": {"lr": 0.2}}
    with pytest.raises(RunFolderError, match=r"already holds another run \(lr was 0\.1, now 0\.2\)"):
        open_training_folder(tmp_path, "net", other, ways=["plain"])
    (tmp_path / "notes.txt").touch()
    open_training_folder(tmp_path, "net", other, ways=["plain"], overwrite=True).release()
    assert not (tmp_path / "plain" / LAST).exists()
    assert (tmp_path / "notes.txt").exists(), "what others put there stays"


def test_one_training_writes_to_a_folder_at_a_time(tmp_path: Path) -> None:
    folder = open_training_folder(tmp_path, "net", MANIFEST, ways=["plain"])
    with pytest.raises(RunFolderError, match="is being written by another run; give another --out"):
        open_training_folder(tmp_path, "net", MANIFEST, ways=["plain"])
    folder.release()
    open_training_folder(tmp_path, "net", MANIFEST, ways=["plain"]).release()
