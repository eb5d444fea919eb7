"""A loaded data set: images on demand, labels at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from advbench.data.batches import Images, Named

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelledImages:
    """A map-style data set whose labels are known without decoding an image.

    Args:
        images: `images[i]` is (pixels in [0, 1] `(c, h, w)`, label).
        labels: all labels, `(n,)`.
        classes: their names in order; empty where the data do not say how many there are.
        outputs: where a file of names has given the labels, the label of each class of the data set.
    """

    images: Images
    labels: Labels
    classes: Sequence[str]
    outputs: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        """Image and label number `index`."""
        return self.images[index]

    def name_of(self, index: int) -> str:
        """The name of image number `index`, for messages; empty where it has none."""
        return self.images.name_of(index) if isinstance(self.images, Named) else ""
