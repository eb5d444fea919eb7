"""Epochs for TensorBoard, where it is installed (`pip install 'advbench[tensorboard]'`)."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from advbench.training.state import EpochRecord


def epoch_writer(folder: Path, done: int) -> Callable[[EpochRecord], None] | None:
    """Writes each epoch's numbers as events into a folder; None where TensorBoard is not installed.

    Args:
        folder: where the event files go.
        done: how many epochs an earlier start has written; what it wrote beyond them is taken back.
    """
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # not installed everywhere

    writer = SummaryWriter(str(folder), purge_step=done + 1)

    def write(record: EpochRecord) -> None:
        for name, value in asdict(record).items():
            if name != "epoch" and not math.isnan(value):
                writer.add_scalar(name, value, record.epoch)
        writer.flush()

    return write
