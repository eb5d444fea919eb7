"""How often an attack has shown each image to a random model: the step in the key of its draws.

A stream that is keyed by the contents of an iterate hangs on the iterate's last bits, and these on how a
network was computed: folded, compiled, in bfloat16. So where an attack runs, the key is (image, number of the
pass).
"""

from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import DefenseError

ATTACK_DRAWS: Final = "by image and pass"
"""How a run says that its attacks draw so; one that says nothing drew by contents alone."""

_PASSES: Final = 32  # bits of a key that number the pass; those above are the image's index
_INDICES: Final = 2**30 - 1


@dataclass(frozen=True)
class Calls:
    """The images that an attack shows a random model, and how often each has passed it.

    An image's passes are numbered by themselves, so that neither the images beside it nor how many of them go
    through the network together change a draw. Restarts and steps go on counting.

    Args:
        draws: the attack's streams, of all `n` images that it is for.
        rows: places among these of the images that are shown now, `(m,)`.
        passes: of each image so far, `(n,)` int64, by the number of the draw; shared by all who show some
            images of the same attack.
    """

    draws: Draws
    rows: Tensor
    passes: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def begun(cls, draws: Draws) -> "Calls":
        """Before the first pass, with all images shown."""
        return cls(draws, torch.arange(len(draws.indices), device=draws.indices.device))

    def take(self, rows: Tensor | slice) -> "Calls":
        """Some of the images that are shown, as an index, a mask or a slice of them."""
        return replace(self, rows=self.rows[rows])

    def advance(self, number: int, count: int) -> Draws:
        """The streams of the next pass of the images that are shown.

        An image that is shown several times at once has the same draws each time.

        Args:
            number: of the draw.
            count: how many images go in.

        Raises:
            DefenseError: another number than that of the images that are shown.
        """
        if count != len(self.rows):
            raise DefenseError(
                f"the attack says tells_rows = True, was given {len(self.rows)} images and shows the model "
                f"{count}: it is to show all of its images in their order, or some by model.showing(rows)."
            )
        if number not in self.passes:
            self.passes[number] = torch.zeros_like(self.draws.indices)
        passes = self.passes[number]
        now = passes[self.rows]
        passes[self.rows] = now + 1
        keys = ((self.draws.indices[self.rows] & _INDICES) << _PASSES) | now
        return Draws(self.draws.seed, keys, self.draws.name)
