"""Images as arrays of numbers: `.npz` and `.npy` files."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from advbench.data.images import LabelledImages
from advbench.data.roundings import without_roundings
from advbench.errors import DatasetError
from advbench.files import bomb_in
from advbench.regular_files import check_regular, open_regular

_LABELS: Final = ("labels.npy", "y.npy", "targets.npy")


def open_npz(path: Path) -> LabelledImages:
    """Arrays `x` and `y` of an `.npz` file.

    Raises:
        DatasetError: a damaged file, pickled objects, or arrays of another shape or type.
    """
    return _labelled(*_read_arrays(path))


def open_npy(path: Path) -> LabelledImages:
    """Images in one `.npy` file, which stays on the disk, and labels in another one beside it.

    Args:
        path: of the images; the labels are in `labels.npy`, `y.npy` or `targets.npy` in the same folder.

    Raises:
        DatasetError: as for `open_npz`, or no file of labels.
    """
    beside = [path.with_name(name) for name in _LABELS if path.with_name(name).is_file()]
    beside = [other for other in beside if other != path]
    if len(beside) != 1:
        listed = " and ".join(other.name for other in beside)
        wrong = f"both {listed} are" if beside else f"none of {', '.join(_LABELS)} is"
        raise DatasetError(f"{wrong} beside {path.name}; exactly one must hold the labels.")
    return _labelled(_mapped(path), np.asarray(_mapped(beside[0])))


def _labelled(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> LabelledImages:
    if y.ndim != 1 or x.ndim < 1 or len(x) != len(y) or y.dtype.kind not in "ui":
        raise DatasetError(f"y must hold one whole number an image, got {y.dtype} {y.shape} for x {x.shape}.")
    if len(y) and int(y.max()) > np.iinfo(np.int64).max:
        raise DatasetError(f"y must hold numbers of classes, got {y.max()}.")
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or not (x.dtype == np.uint8 or x.dtype.kind == "f"):
        raise DatasetError(
            "x must be uint8 or float images (n, c, h, w), (n, h, w, c) or (n, h, w), "
            f"got {x.dtype} {x.shape}."
        )
    return LabelledImages(_Arrays(x, y), y.astype(np.int64), classes=())


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        check_regular(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged file can make numpy raise anything
        raise DatasetError(f"{path.name} is damaged, no .npy file, or holds pickled objects.") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DatasetError(f"{path.name} is an archive of arrays; give it to --dataset npz.")
    return array


def _read_arrays(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            bomb = bomb_in(archive, os.fstat(file.fileno()).st_size)
        if bomb:
            raise DatasetError(f"{path.name} is refused: {bomb}.")
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            x_and_y = {name: arrays[name] for name in arrays.files if name in ("x", "y")}
            held = ", ".join(arrays.files)
    except DatasetError:
        raise
    except Exception as error:  # a damaged archive can make numpy raise anything
        raise DatasetError(f"{path.name} is damaged, no .npz archive, or holds pickled objects.") from error
    if len(x_and_y) < 2 or not all(isinstance(array, np.ndarray) for array in x_and_y.values()):
        raise DatasetError(f"{path.name} must hold arrays x and y, it holds {held or 'none'}.")
    return x_and_y["x"], x_and_y["y"]


@dataclass(frozen=True)
class _Arrays:
    x: npt.NDArray[Any]
    y: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        scale = 255.0 if self.x.dtype == np.uint8 else 1.0
        x = torch.from_numpy(np.ascontiguousarray(self.x[index], dtype=np.float32)) / scale
        source = torch.float16 if self.x.dtype.itemsize == 2 else torch.float32
        return without_roundings(x, source), int(self.y[index])
