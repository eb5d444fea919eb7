"""Published data sets by torchvision's readers, which are handed nothing but regular files.

torchvision opens whatever stands under a file's name, and a pipe in its place is waited for without end.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from advbench.data.images import LabelledImages
from advbench.errors import DatasetError
from advbench.regular_files import IrregularFileError, check_regular

_LARGEST: Final = 2 << 30  # bytes of a file; the largest that is published, SVHN's `extra`, has 1.3e9
_MOST_FILES: Final = 1_000  # of a data set; the most that are published are CIFAR-10's eight


def open_published(
    name: str, root: Path, image_size: int | None, *, download: bool, **split: Any
) -> LabelledImages:
    """One of torchvision's data sets, its images in [0, 1].

    Args:
        name: of torchvision's class.
        root: its folder.
        image_size: side of the square that images are resized and cropped to; None leaves them.
        download: whether it may be fetched.
        split: the class's own word for the split, and its value.

    Raises:
        DatasetError: files that are missing, damaged, no regular files, or contradict each other.
    """
    import torchvision.datasets  # noqa: PLC0415  # a second to import

    dataset_class = getattr(torchvision.datasets, name)
    for path in _files(name, root, dataset_class):
        _check(path)
    try:
        dataset = dataset_class(str(root), transform=_pixels(image_size), download=download, **split)
        labels = np.asarray(dataset.labels if name == "SVHN" else dataset.targets, dtype=np.int64)
    except Exception as error:  # a damaged file can make its reader raise anything
        raise DatasetError("its files are missing, damaged, or not as published.") from error
    if len(labels) != len(dataset.data):
        raise DatasetError(f"damaged: {len(dataset.data)} images, but {len(labels)} labels.")
    _check_older_layout(dataset)
    classes = getattr(dataset, "classes", [str(number) for number in range(int(labels.max()) + 1)])
    return LabelledImages(dataset, labels, classes)


def _files(name: str, root: Path, dataset_class: Any) -> Iterator[Path]:
    """What stands where a data set's files are looked for."""
    if hasattr(dataset_class, "split_list"):
        yield from (root / file for _, file, _ in dataset_class.split_list.values())
        return
    folder = root / getattr(dataset_class, "base_folder", name)
    for number, path in enumerate(folder.rglob("*")):  # links to folders are not followed
        if number == _MOST_FILES:
            raise DatasetError(f"{folder} holds more than {_MOST_FILES:,} files, and is no {name}.")
        if not path.is_dir():
            yield path


def _check(path: Path) -> None:
    try:
        check_regular(path)
        size = path.stat().st_size
    except IrregularFileError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error
    except OSError:  # not there, or not to be read: torchvision's reader knows whether it is wanted
        return
    if size > _LARGEST:
        raise DatasetError(f"{path} has {size:,} bytes, and {_LARGEST:,} are read at most.")


def _check_older_layout(dataset: "Dataset[Any]") -> None:
    """Refuse an MNIST of two layouts that contradict each other.

    Up to 0.9 torchvision wrote `processed/*.pt` beside `raw`. Where both are there it reads the first, with
    no checksum, whatever has become of the other since (`MNIST._check_legacy_exist`, still in 0.29.2).
    """
    from torchvision.datasets import MNIST  # noqa: PLC0415
    from torchvision.datasets.mnist import read_image_file, read_label_file  # noqa: PLC0415

    if not isinstance(dataset, MNIST):
        return
    part = "train" if dataset.train else "t10k"
    older = Path(dataset.processed_folder, dataset.training_file if dataset.train else dataset.test_file)
    raw = Path(dataset.raw_folder)
    files = raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte"
    if not older.exists() or not all(file.exists() for file in files):
        return
    try:
        same = torch.equal(dataset.data, read_image_file(str(files[0])))
        same = same and torch.equal(dataset.targets, read_label_file(str(files[1])))
    except Exception:  # a damaged file can make its reader raise anything
        same = False
    if not same:
        raise DatasetError(
            f"{older} holds other images or labels than {raw}, and torchvision would read it in their place. "
            f"Move {older.parent} or {raw} away."
        )


def _pixels(image_size: int | None) -> Callable[[Any], Tensor]:
    """Images to float32 in [0, 1]; with a size, resized to 256/224 of it and cropped to the centre."""
    from torchvision.transforms import v2  # noqa: PLC0415  # a second to import

    resize = (
        [] if image_size is None else [v2.Resize(round(image_size * 256 / 224)), v2.CenterCrop(image_size)]
    )
    transform: Callable[[Any], Tensor] = v2.Compose(
        [*resize, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    )
    return transform
