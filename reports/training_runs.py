"""The epochs of trainings, back from their folders, for their curves."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from advbench.errors import RunFolderError
from advbench.regular_files import read_regular
from advbench.runs.manifest import MANIFEST, read_manifest

from .charts import Curves, training_curves

METRICS: Final = "metrics.csv"
_LARGEST: Final = 16 << 20  # bytes; an epoch has about a hundred
_NAMES: Final = ("epoch", "loss", "adver_loss", "accuracy", "held_out")

History = Sequence[Mapping[str, float]]


def is_training(path: Path) -> bool:
    """Whether a folder is that of `advbench finetune`, which has curves and a table of another kind."""
    if not (path / MANIFEST).is_file() or not any(path.glob(f"*/{METRICS}")):
        return False
    return "heading" not in read_manifest(path)


def curves_of(paths: Sequence[Path]) -> list[Curves]:
    """The curves of trainings; each way of training has its own, told apart by folder where needed.

    Raises:
        RunFolderError: epochs that no training has written.
    """
    histories: dict[str, History] = {}
    for path in paths:
        for file in sorted(path.glob(f"*/{METRICS}")):
            way = file.parent.name
            histories[way if len(paths) == 1 else f"{path.resolve().name} {way}"] = _epochs(file)
    return training_curves(histories)


def _epochs(file: Path) -> History:
    """The numbers of each epoch; what is empty or no number is left out."""
    try:
        text = read_regular(file, _LARGEST).decode()
        lines = list(csv.DictReader(io.StringIO(text)))
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunFolderError(f"{file} cannot be read.") from error
    epochs = [
        {name: number for name in _NAMES if (number := _number(line.get(name))) is not None} for line in lines
    ]
    if not epochs or any("epoch" not in epoch for epoch in epochs):
        raise RunFolderError(f"{file} holds no epochs of a training.")
    return epochs


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
