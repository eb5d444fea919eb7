"""Images as the library of a model resizes and crops them."""

from dataclasses import dataclass

from torch import Tensor

from advbench.data.batches import Images, Named
from advbench.models.preparation import Preparation, sized


@dataclass(frozen=True, kw_only=True)
class PreparedImages:
    """A map-style data set behind a model's own resize and crop.

    Args:
        images: pictures of any size, in [0, 1].
        preparation: of the model's library.
    """

    images: Images
    preparation: Preparation

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Pixels in [0, 1], `(3, h, w)` as the network takes them, and label of image number `index`."""
        x, label = self.images[index]
        return sized(self.preparation, x), label

    def name_of(self, index: int) -> str:
        """The name of image number `index`; empty where it has none."""
        return self.images.name_of(index) if isinstance(self.images, Named) else ""
