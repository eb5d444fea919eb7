"""The folder of a training: `run.json`, a folder for each way of training, and the tables."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, final

from torch import nn

from advbench.files import FolderLock, half_written, write_whole
from advbench.runs.claimed_folder import ClaimedFolder, claiming, new_dated_folder
from advbench.runs.folder import check_free, earlier_starts
from advbench.runs.manifest import MANIFEST, read_manifest, run_hash
from advbench.training.state import EpochRecord, TrainingState, write_state, write_weights

LAST: Final = "last.safetensors"
BEST: Final = "best.safetensors"
STATE: Final = "state.safetensors"
METRICS: Final = "metrics.csv"

_TABLES = ("table.csv", "table.md", "table.json")


@final
@dataclass
class TrainingFolder(ClaimedFolder):
    """The folder that one training command writes to."""

    def write_text(self, name: str, text: str) -> None:
        """Write a table."""
        write_whole(self.path / name, text.encode())

    def keep(self, name: str, training: TrainingState, network: nn.Module, origin: Mapping[str, str]) -> None:
        """Write down how far one training has come; the state comes last, so that it never runs ahead.

        Args:
            name: of the way of training.
            training: where it stands.
            network: the part of its model that a checkpoint holds.
            origin: where the weights come from, for their files.
        """
        home = self.path / name
        home.mkdir(parents=True, exist_ok=True)
        if training.history and training.step == 0:
            write_weights(network, home / LAST, origin)
            if training.best == training.epoch:
                write_weights(network, home / BEST, origin)
            write_whole(home / METRICS, metrics(training.history).encode())
        write_state(training, home / STATE)


def open_training_folder(
    path: Path | None,
    label: str,
    manifest: Mapping[str, Any],
    *,
    ways: Sequence[str],
    overwrite: bool = False,
) -> TrainingFolder:
    """Create the folder and write its first `run.json`, or go on with an earlier start of the same training.

    Args:
        path: the folder; None for a new dated one under `runs/`.
        label: what is trained, for the name of a dated folder.
        manifest: what `run.json` says at first.
        ways: the ways of training that may write there.
        overwrite: whether to begin anew where there is a run.

    Raises:
        RunFolderError: the folder cannot be written, or holds another run.
    """
    starts: list[Any] = []
    with claiming(path):
        folder = TrainingFolder(new_dated_folder(label) if path is None else path)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.lock = FolderLock(folder.path)
        check_free(folder.path, manifest, overwrite=overwrite)
        if folder.account.exists() and not overwrite:
            starts = earlier_starts(read_manifest(folder.path))
        else:
            _clear(folder.path, ways)
        for home in (folder.path, *(folder.path / way for way in ways)):
            for half in half_written(home):
                half.unlink()
    folder.update(**manifest, earlier_starts=starts, hash=run_hash(manifest))
    return folder


def metrics(history: Sequence[EpochRecord]) -> str:
    """The epochs as CSV; a number that there is not stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(EpochRecord)], lineterminator="\n")
    writer.writeheader()
    for record in history:
        values = asdict(record)
        writer.writerow({name: "" if math.isnan(value) else value for name, value in values.items()})
    return text.getvalue()


def _clear(path: Path, ways: Sequence[str]) -> None:
    """Remove an earlier run's files, of whichever command."""
    inside = [f"{way}/{name}" for way in ways for name in (STATE, LAST, BEST, METRICS)]
    for name in [MANIFEST, *_TABLES, *inside]:
        (path / name).unlink(missing_ok=True)
