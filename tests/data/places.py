"""What tests of data sets share: a few pixels, and how a data set is read or refused at a place."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from advbench.data.batches import Batch, batches
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.errors import DatasetError

Array = npt.NDArray[Any]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)


LABELS = np.array([0, 1, 2, 0, 1, 2])


def place(root: Path, split: str = "test", **options: Any) -> Place:
    """Where a data set is."""
    return Place(root=root, split=split, **options)


def read(name: str, where: Place) -> Batch:
    """The whole data set as one batch."""
    dataset = load_dataset(name, where)
    (batch,) = batches(dataset, range(len(dataset)), len(dataset))
    return batch


def refusal(name: str, where: Place) -> str:
    """The sentence with which a data set is refused."""
    with pytest.raises(DatasetError) as caught:
        read(name, where)
    message = str(caught.value)
    del caught  # a file that was left open warns here, not in a later test
    assert "\n" not in message
    return message
