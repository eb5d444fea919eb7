"""Arrays of numbers in `.npy` and `.npz` files, for defenses that need some."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from advbench.errors import SpecError
from advbench.files import bomb_in


def read_array(file: str | Path, key: str, owner: str, advice: str) -> Tensor:
    """The array that a file holds.

    Args:
        file: an `.npy` file, or an `.npz` file with an array of the name `key`.
        key: what the array is for, which is its name in an `.npz` file.
        owner: the defense, for messages.
        advice: how to make such a file.

    Raises:
        SpecError: no such file, a damaged one, pickled objects, or an archive that would fill the memory.
    """
    path = Path(file)
    if not path.is_file():
        raise SpecError(f"{owner}: there is no {key} {str(file)!r}: {advice}.")
    try:
        return torch.from_numpy(_read(path, key, owner))
    except SpecError:
        raise
    except Exception as error:  # a damaged file can make numpy raise anything
        raise SpecError(
            f"{owner}: {path.name} is damaged, no .npy or .npz file, or holds pickled objects: {advice}."
        ) from error


def _read(path: Path, key: str, owner: str) -> npt.NDArray[Any]:
    if not zipfile.is_zipfile(path):
        return np.asarray(np.load(path, allow_pickle=False))
    with zipfile.ZipFile(path) as archive:
        bomb = bomb_in(archive, path.stat().st_size)
    if bomb:
        raise SpecError(f"{owner}: {path.name} is refused: {bomb}.")
    with np.load(path, allow_pickle=False) as arrays:
        if key not in arrays.files:
            raise SpecError(
                f"{owner}: {path.name} must hold an array {key!r}, it holds {', '.join(arrays.files)}."
            )
        return np.asarray(arrays[key])
