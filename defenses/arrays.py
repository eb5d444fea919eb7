"""Arrays of numbers in `.npy` and `.npz` files, for defenses that need some."""

import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from advbench.errors import SpecError
from advbench.files import bomb_in
from advbench.regular_files import IrregularFileError, open_regular


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
    try:
        with open_regular(path) as opened:
            return torch.from_numpy(_read(opened, path.name, key, owner))
    except SpecError:
        raise
    except FileNotFoundError:
        raise SpecError(f"{owner}: there is no {key} {str(file)!r}: {advice}.") from None
    except IrregularFileError as error:
        raise SpecError(f"{owner}: {str(file)!r} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged file can make numpy raise anything
        raise SpecError(
            f"{owner}: {path.name} is damaged, no .npy or .npz file, or holds pickled objects: {advice}."
        ) from error


def _read(file: IO[bytes], name: str, key: str, owner: str) -> npt.NDArray[Any]:
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return np.asarray(np.load(file, allow_pickle=False))
    with zipfile.ZipFile(file) as archive:
        bomb = bomb_in(archive, os.fstat(file.fileno()).st_size)
    if bomb:
        raise SpecError(f"{owner}: {name} is refused: {bomb}.")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        if key not in arrays.files:
            raise SpecError(
                f"{owner}: {name} must hold an array {key!r}, it holds {', '.join(arrays.files)}."
            )
        return np.asarray(arrays[key])
