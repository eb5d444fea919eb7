"""From a data set's name to its images."""

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
    entry = find_dataset(name)
    where = f"data set {name!r} at {place.root}"
    expected = f" Expected there: {entry.expects}." if entry.expects else ""
    if place.download and not entry.downloads:
        raise DatasetError(f"data set {name!r} cannot be downloaded; leave --download away.")
    if entry.expects and not place.download and not place.root.exists():
        raise DatasetError(f"{where}: there is no such folder; give --data-root.{expected}{_advice(entry)}")
    try:
        dataset: LabelledImages = entry.load()(place)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}{expected}{_advice(entry)}") from error
    if len(dataset) == 0:
        raise DatasetError(f"{where} holds no images.{expected}")
    return dataset


def _advice(entry: DatasetEntry) -> str:
    return " Or add --download to fetch it." if entry.downloads else ""
