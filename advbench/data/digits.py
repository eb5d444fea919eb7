"""scikit-learn's handwritten digits without scikit-learn, whose import takes longer than the images do."""

import importlib.util
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_FILE: Final = "datasets/data/digits.csv.gz"

# sklearn.model_selection.train_test_split(train_size=0.8, stratify=labels, random_state=0), as in 1.3 to 1.7:
# a bit an image, set in the test split.
_TEST: Final = bytes.fromhex(
    "000004883524104000064100934205001a00080100240028062c12001000940a009019120420f8a0028110a000"
    "080a8820441524494240a00a0000004004d80000818020004805c400104008a0100005404800301000020ec409"
    "000224840083a8013c20a6980a0000000b08400804a0184802024041c1008004404684376a8102160044800040"
    "42a0a4180a5000840b8561c608108008004c80c02004068e00010882008100380803c008190000100e01008410"
    "a0210033282904c044c080680e0102830082008822a6402c24042108a860809081a00c02820242120138a41500"
)


class Digits(NamedTuple):
    """All images of the data set."""

    images: npt.NDArray[np.float64]
    """Levels 0 to 16, `(1797, 8, 8)`."""
    labels: npt.NDArray[np.int64]
    """`(1797,)`."""
    is_test: npt.NDArray[np.bool_]
    """Which of them are the test split, `(1797,)`."""


def load() -> Digits:
    """Read the file that scikit-learn brings along, or ask scikit-learn for it."""
    spec = importlib.util.find_spec("sklearn")  # finds it and does not import it
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    path = Path(folder) / _FILE
    if path.is_file():
        table = np.loadtxt(path, delimiter=",")
        images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    else:
        from sklearn.datasets import load_digits  # noqa: PLC0415  # a second to import

        bunch = load_digits()
        images, labels = bunch.images, bunch.target.astype(np.int64)
    return Digits(images, labels, np.unpackbits(np.frombuffer(_TEST, np.uint8))[: len(labels)].astype(bool))
