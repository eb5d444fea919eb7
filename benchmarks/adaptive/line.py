"""What a line of the gallery is."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from benchmarks.adaptive.digits import COUNT

Adaptive = Callable[[Tensor, Tensor, float], Tensor]
"""Images `(n, c, h, w)`, labels and the radius to which images stand, `(n,)` bool."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One defense, the attack that was written for it, and how the tool is called on it.

    Args:
        name: of the defense.
        kind: `purifier`, `detector`, `adaptation`, `ensemble`, `head`, `binarised network` or `random
            model`.
        paper: whose defense it is or is like, with its year.
        options: of the command, behind those that all lines share.
        adaptive: the attack that was written for this defense.
        right: the verdict that is right, to its first words; two where the numbers lie near a border of both.
        eps: the radius, in L-inf.
        within: how many images more than the adaptive attack our worst rung may leave; more than 3 is a miss
            that the table shows.
    """

    name: str
    kind: str
    paper: str
    options: str
    adaptive: Adaptive
    right: tuple[str, ...]
    eps: float = 0.15
    within: int = 3

    @property
    def words(self) -> list[str]:
        """The whole command's words behind `advbench`."""
        shared = f"attack --dataset digits --first {COUNT} --eps {self.eps:g} --ladder"
        pixels = "--normalization none" if "--model" in self.options else ""
        return f"{shared} {pixels} {self.options}".split()
