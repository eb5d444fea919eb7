"""From a data set's name to its images."""

from advbench.data.class_names import named_outputs, relabelled
from advbench.data.images import LabelledImages
from advbench.data.registry import DATASETS, DatasetEntry
from advbench.data.sources import Place
from advbench.errors import DatasetError, SpecError, nearest


def find_dataset(name: str) -> DatasetEntry:
    """The entry of a data set.

    Raises:
        SpecError: no such name; the message suggests the nearest ones.
    """
    if name not in DATASETS:
        raise SpecError(f"there is no dataset called {name!r}. {nearest(name, DATASETS)}")
    return DATASETS[name]


def load_dataset(name: str, place: Place) -> LabelledImages:
    """Open a data set; images are decoded when they are asked for.

    Raises:
        SpecError: an unknown name.
        DatasetError: missing or damaged files; the message names the folder that was expected.
    """
    check_place(name, place)
    entry = find_dataset(name)
    where, expected = _where(name, place), _expected(entry)
    try:
        dataset: LabelledImages = entry.load()(place)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}{expected}{_advice(entry, place)}") from error
    if len(dataset) == 0:
        raise DatasetError(f"{where} holds no images.{expected}")
    names = place.names
    if names is None and place.model_names is not None:
        names = named_outputs(dataset.classes, place.model_names)
    if names is None:
        return dataset
    try:
        return relabelled(dataset, names)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from error


def check_place(name: str, place: Place) -> None:
    """See whether a data set can be where it is looked for, before anything is read.

    Raises:
        SpecError: an unknown name.
        DatasetError: there is nothing, or nothing to download.
    """
    entry = find_dataset(name)
    if place.download and not entry.downloads:
        raise DatasetError(f"data set {name!r} cannot be downloaded; leave --download away.")
    if entry.expects and not place.download and not entry.named and not place.root.exists():
        raise DatasetError(
            f"{_where(name, place)}: there is no such folder; give --data-root."
            f"{_expected(entry)}{_advice(entry, place)}"
        )


def _where(name: str, place: Place) -> str:
    return f"data set {name!r} at {place.root}"


def _expected(entry: DatasetEntry) -> str:
    return f" Expected there: {entry.expects}." if entry.expects else ""


def _advice(entry: DatasetEntry, place: Place) -> str:
    is_there = entry.named and place.root.exists()
    return " Or add --download to fetch it." if entry.downloads and not is_there else ""
