"""Epochs go to TensorBoard where it is installed, each once."""

from pathlib import Path

import pytest

from advbench.training.tensorboard import epoch_writer
from tests.training.small_trainings import RECIPES, trained


def test_epochs_go_to_tensorboard_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    history = trained(RECIPES["apart"]).history
    for done, records in ((0, history[:3]), (2, history[2:])):  # the third epoch is done again
        write = epoch_writer(tmp_path, done)
        assert write is not None
        for record in records:
            write(record)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [each.step for each in events.Scalars("loss")] == [1, 2, 3, 4]
    assert [each.value for each in events.Scalars("adver_loss")] == pytest.approx(
        [each.adver_loss for each in history]
    )


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert epoch_writer(tmp_path, 0) is None
    assert not list(tmp_path.iterdir())
