"""What all networks have in common that a run fits and keeps."""

from typing import ClassVar

from torch import nn


class Fitted(nn.Module):
    """A network that a run has fitted; the shapes of its inputs and outputs, without the batch, make it.

    Args:
        before: shape of an input.
        after: shape of an output.
    """

    kind: ClassVar[str] = ""
    """What its file says that it is; nothing for what imitates a defense."""
    before: tuple[int, ...]
    after: tuple[int, ...]

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        super().__init__()
        self.before, self.after = before, after
