"""A table in an experiment tracker's own files: TensorBoard, MLflow and W&B, nothing sent anywhere.

Each is an extra, and writes below a folder of ours; `wandb sync` or `mlflow server` is the user's own step.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from advbench.errors import InputError

from .outcomes import Outcome

PROJECT: Final = "advbench"


class Table(NamedTuple):
    """A row as a tracker takes it."""

    name: str
    parameters: Mapping[str, str]
    """What was attacked, and the verdict."""
    metrics: Mapping[str, float]
    """Accuracies in [0, 1], and counts."""


def tables(outcomes: Sequence[Outcome]) -> Iterator[Table]:
    """The rows that have numbers."""
    for outcome in outcomes:
        if not outcome.row.rates:
            continue
        metrics: dict[str, float] = {}
        for rung, rate in outcome.row.rates.items():
            metrics |= {f"{rung}/accuracy": rate.accuracy, f"{rung}/count": float(rate.count)}
        measured = outcome.measured
        parameters = {**measured["traits"], **{name: measured[name] for name in _TOLD}}
        yield Table(outcome.name, parameters, metrics)


_TOLD: Final = ("verdict", "evidence", "substitute", "command", "run", "seal")


def check_library(library: str) -> None:
    """Whether a tracker is installed.

    Raises:
        InputError: it is not; says how to have it.
    """
    if importlib.util.find_spec(library) is None:
        raise InputError(f"{library} is not installed: pip install 'advbench[{library}]'.")


def to_tensorboard(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Scalars of each row in a log of its own, and what it was as text."""
    check_library("tensorboard")
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # not installed everywhere

    for table in tables(outcomes):
        writer = SummaryWriter(str(folder / _as_folder(table.name)))
        for name, value in table.metrics.items():
            writer.add_scalar(name, value, 0)
        for name, text in table.parameters.items():
            writer.add_text(name, text, 0)
        writer.close()


def to_mlflow(outcomes: Sequence[Outcome], folder: Path) -> None:
    """A run for each row, in a SQLite file of the folder."""
    check_library("mlflow")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers that it is used
    import mlflow  # noqa: PLC0415  # not installed everywhere

    folder.mkdir(parents=True, exist_ok=True)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    known = client.get_experiment_by_name(PROJECT)
    experiment = known.experiment_id if known else client.create_experiment(PROJECT)
    for table in tables(outcomes):
        run = client.create_run(experiment, run_name=table.name)
        for name, text in table.parameters.items():
            client.log_param(run.info.run_id, name, text[:_LONGEST])
        for name, value in table.metrics.items():
            client.log_metric(run.info.run_id, name, value)
        client.set_terminated(run.info.run_id)


_LONGEST: Final = 500  # characters of a parameter that every version of MLflow takes


def to_wandb(outcomes: Sequence[Outcome], folder: Path) -> None:
    """An offline run for each row, for `wandb sync`."""
    check_library("wandb")
    import wandb  # noqa: PLC0415  # not installed everywhere

    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_SILENT", "true")
    for table in tables(outcomes):
        run = wandb.init(
            project=PROJECT, name=table.name, mode="offline", dir=str(folder), config=dict(table.parameters)
        )
        run.log(dict(table.metrics))
        run.finish()


Tracker = Callable[[Sequence[Outcome], Path], None]

TRACKERS: Final[Mapping[str, Tracker]] = {
    "tensorboard": to_tensorboard,
    "mlflow": to_mlflow,
    "wandb": to_wandb,
}


def _as_folder(name: Any) -> str:
    """A row's name as the name of a folder: its parts side by side."""
    return "".join(letter if letter.isalnum() or letter in "._=-" else "-" for letter in name)[:_LONGEST_NAME]


_LONGEST_NAME: Final = 120
