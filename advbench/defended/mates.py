"""The images that share a declared batch with those that an attack changes."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from advbench.errors import DefenseError


class Mates(NamedTuple):
    """A declared batch of which some images are changed."""

    x: Tensor
    """All of its images as they are otherwise, `(n, c, h, w)`."""
    rows: Tensor
    """The places of those that are changed, `(m,)`."""
    seen: Callable[[Tensor, Tensor], None] = lambda *_: None
    """Is told what the model is shown in these places, and its logits `(m, k)`."""

    def with_images(self, x: Tensor) -> Tensor:
        """The batch with those images in their places.

        Raises:
            DefenseError: they are not as many.
        """
        if len(x) != len(self.rows):
            raise DefenseError(
                f"an adapting model is attacked with {len(self.rows)} images of its batch together, and the "
                f"attack shows {len(x)} of them: take one that keeps its images together, such as pgd, apgd "
                "or square."
            )
        return self.x.index_copy(0, self.rows, x)
