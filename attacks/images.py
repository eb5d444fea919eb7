"""The images that an attack is still busy with."""

from typing import NamedTuple

from torch import Tensor


class Images(NamedTuple):
    """Some images of a batch, and what is wanted of each."""

    rows: Tensor
    """Their places in the batch, `(m,)`."""
    x: Tensor
    """Clean images, `(m, c, h, w)`."""
    y: Tensor
    """Labels, `(m,)`."""
    rival: Tensor
    """The class that each is driven to, `(m,)`; the label itself where none is."""

    def take(self, which: Tensor | slice) -> "Images":
        """Some of them; `which` is an index, a mask, or a slice."""
        return Images(*(tensor[which] for tensor in self))
