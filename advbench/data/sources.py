"""Where the images come from: one function a data set, all with the same parameters.

Each takes the folder, the split, whether a download is allowed, and the size to resize and crop to; each
returns images in [0, 1] without any normalisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from advbench.data.arrays import open_npy, open_npz
from advbench.data.class_names import ClassNames
from advbench.data.digits import load
from advbench.data.images import LabelledImages, Labels
from advbench.data.labelled_pictures import LabelledPictures
from advbench.data.listed_pictures import read_list
from advbench.data.picture_folder import open_folder
from advbench.data.picture_tables import ENDINGS, open_tables
from advbench.data.pictures import PictureFile
from advbench.data.pixels import Channels, Reading
from advbench.data.published import open_published
from advbench.data.shards import open_shards
from advbench.data.split_files import files_of_split
from advbench.errors import DatasetError, first_line
from advbench.models.hub import dataset_snapshot


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a data set is and how it is to be read.

    Args:
        root: its folder or file.
        split: `train`, `test`, ...
        download: whether it may be fetched.
        image_size: side of the square that images are resized and cropped to; None leaves them.
        channels: 1 or 3 that pictures are read in; None leaves it to what the network takes.
        names: which output of the model each class stands for; None for the order of the classes.
        model_names: the model's own names, which count where `names` is None and every class is among them.
        whole: whether pictures keep their size where a data set has a usual one, since the model resizes.
        image_column: of a table, the one that holds pictures or their paths; None for one with a usual name.
        label_column: likewise for the labels.
    """

    root: Path
    split: str
    download: bool = False
    image_size: int | None = None
    channels: int | None = None
    names: ClassNames | None = None
    model_names: ClassNames | None = None
    whole: bool = False
    image_column: str | None = None
    label_column: str | None = None

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns of a table of pictures, as far as they are told."""
        return {"image_column": self.image_column, "label_column": self.label_column}


def digits(place: Place) -> LabelledImages:
    """scikit-learn's handwritten digits, 8x8 grey, in a fixed stratified split of 1,437 and 360."""
    _known_split(place, ("train", "test"))
    _as_they_are(place)
    images, labels, is_test = load()
    chosen = np.flatnonzero(is_test == (place.split == "test"))
    x = torch.from_numpy(images[chosen]).to(torch.float32).unsqueeze(1) / 16.0
    y = torch.from_numpy(labels[chosen])
    return LabelledImages(TensorDataset(x, y), y.numpy(), [str(number) for number in range(10)])


def mnist(place: Place) -> LabelledImages:
    """MNIST, 28x28 grey."""
    return _torchvision(place, "MNIST", train=_is_train(place))


def fashion_mnist(place: Place) -> LabelledImages:
    """Fashion-MNIST, 28x28 grey."""
    return _torchvision(place, "FashionMNIST", train=_is_train(place))


def cifar10(place: Place) -> LabelledImages:
    """CIFAR-10, 32x32 RGB. Its files are pickles, which torchvision reads only if their MD5 is right."""
    return _torchvision(place, "CIFAR10", train=_is_train(place))


def cifar100(place: Place) -> LabelledImages:
    """CIFAR-100, 32x32 RGB, read like CIFAR-10."""
    return _torchvision(place, "CIFAR100", train=_is_train(place))


def svhn(place: Place) -> LabelledImages:
    """Street view house numbers, 32x32 RGB."""
    _known_split(place, ("train", "test", "extra"))
    return _torchvision(place, "SVHN", split=place.split)


def imagenet(place: Place) -> LabelledImages:
    """ILSVRC 2012; the split `test` means the validation images, whose labels are public."""
    split = "val" if place.split == "test" else place.split
    return _folder(replace(place, split=split, image_size=place.image_size or (None if place.whole else 224)))


def imagefolder(place: Place) -> LabelledImages:
    """A folder of images with a folder a class, in `root/split` if that exists, else in `root`."""
    return _folder(place)


def npz(place: Place) -> LabelledImages:
    """Arrays `x` and `y` of an `.npz` file; uint8 pixels are divided by 255, object arrays are refused."""
    _as_they_are(place)
    return open_npz(_file(place, f"{place.split}.npz"))


def npy(place: Place) -> LabelledImages:
    """Images in an `.npy` file that stays on the disk, labels beside it; as `npz` otherwise."""
    _as_they_are(place)
    return open_npy(_file(place, f"{place.split}.npy", f"{place.split}/x.npy", "x.npy"))


def csv(place: Place) -> LabelledImages:
    """Picture files that a `.csv` or `.tsv` file lists with their labels."""
    path = _file(place, f"{place.split}.tsv", f"{place.split}.csv")
    return _pictures(place, *read_list(path, place.split, **place.columns))


def webdataset(place: Place) -> LabelledImages:
    """Tar files of pictures and labels."""
    _no_columns(place)
    return _pictures(place, *open_shards(files_of_split(place.root, place.split, (".tar",))))


def hf(place: Place) -> LabelledImages:
    """Parquet and Arrow files of Hugging Face's `datasets`, on this machine or in its cache of the hub."""
    root = place.root
    if not root.exists():
        root = dataset_snapshot(str(root), place.split, download=place.download)
    paths = files_of_split(root, place.split, ENDINGS)
    return _pictures(place, *open_tables(paths, **place.columns))


def _file(place: Place, *names: str) -> Path:
    """The file that a place is, or the first of some names that is in its folder.

    Raises:
        DatasetError: there is none; the last name is told.
    """
    if place.root.is_file():
        return place.root
    path = next((place.root / name for name in names if (place.root / name).is_file()), None)
    if path is None:
        raise DatasetError(f"there is no {names[-1]}.")
    return path


def _pictures(
    place: Place, files: Sequence[PictureFile], labels: Labels, classes: Sequence[str]
) -> LabelledImages:
    channels = _channels(place)
    pictures = LabelledPictures(
        classes=classes,
        files=files,
        targets=labels.tolist(),
        reading=Reading(channels=channels or 3, side=place.image_size),
        settled=channels is not None,
    )
    return LabelledImages(pictures, labels, tuple(classes))


def _torchvision(place: Place, name: str, **split: Any) -> LabelledImages:
    _own_channels(place)
    _no_columns(place)
    return open_published(name, place.root, place.image_size, download=place.download, **split)


_SPLITS = frozenset({"train", "val", "valid", "validation", "test"})


def _folder(place: Place) -> LabelledImages:
    _no_columns(place)
    channels = _channels(place)
    root = place.root / place.split
    if not place.root.is_dir():
        raise DatasetError("this is no folder.")
    if not root.is_dir():
        splits = sorted(path.name for path in place.root.iterdir() if path.is_dir() and path.name in _SPLITS)
        if splits:
            raise DatasetError(f"there is no split {place.split!r}, only {', '.join(splits)}.")
        root = place.root
    try:
        reading = Reading(channels=channels or 3, side=place.image_size)
        dataset = open_folder(root, reading, settled=channels is not None)
    except OSError as error:
        raise DatasetError(f"{first_line(error).rstrip('.')}.") from error
    return LabelledImages(dataset, np.asarray(dataset.targets, dtype=np.int64), dataset.classes)


def _channels(place: Place) -> Channels | None:
    match place.channels:
        case 1 | 3 | None as channels:
            return channels
        case other:
            raise DatasetError(f"--channels must be 1 (grey) or 3 (RGB), got {other}.")


def _as_they_are(place: Place) -> None:
    if place.image_size is not None:
        raise DatasetError("its images are used as they are; leave --image-size away.")
    _own_channels(place)
    _no_columns(place)


def _no_columns(place: Place) -> None:
    if place.image_column is not None or place.label_column is not None:
        raise DatasetError("it has no columns; leave --image-column and --label-column away.")


def _own_channels(place: Place) -> None:
    if place.channels is not None:
        raise DatasetError("its images have the channels that they have; leave --channels away.")


def _is_train(place: Place) -> bool:
    _known_split(place, ("train", "test"))
    return place.split == "train"


def _known_split(place: Place, splits: tuple[str, ...]) -> None:
    if place.split not in splits:
        raise DatasetError(f"the split must be one of {', '.join(splits)}, got {place.split!r}.")
