"""Trackers: what their own readers give back; each skips where its library is absent."""

from pathlib import Path

import pytest

from advbench.errors import InputError
from advbench.reports import trackers
from advbench.reports.trackers import TRACKERS, tables, to_mlflow, to_tensorboard, to_wandb
from tests.reports.outcomes import outcomes


def test_a_table_has_every_rung_and_says_what_was_attacked() -> None:
    (table,) = tables(outcomes("trained", "broken"))
    assert table.metrics["worst/accuracy"] == 0.4
    assert table.metrics["clean/count"] == 190.0
    assert (table.parameters["defense"], table.parameters["verdict"]) == ("trained", "robust as measured")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_library_is_said_with_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"{name} is not installed: pip install 'advbench\[{name}\]'"):
        TRACKERS[name](outcomes(), tmp_path)


def test_tensorboard_reads_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    to_tensorboard(outcomes("trained"), tmp_path)
    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert events.Scalars("worst/accuracy")[0].value == pytest.approx(0.4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow on a newer SQLAlchemy
def test_mlflow_reads_the_numbers(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    to_mlflow(outcomes("trained"), tmp_path)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name(trackers.PROJECT).experiment_id])
    assert run.data.metrics["worst/accuracy"] == 0.4
    assert run.data.params["verdict"] == "robust as measured"
    assert run.info.status == "FINISHED"


def test_wandb_stays_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="W&B is not installed")
    to_wandb(outcomes("trained"), tmp_path)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
