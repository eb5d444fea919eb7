"""What an adversary may do: the norm, the radius, and the box [0, 1]."""

import math
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import SpecError, nearest
from advbench.names.grammar import parse_number
from advbench.threat import norms

Norm = Literal["linf", "l2", "l1"]

_UNBOUNDED: dict[Norm, float] = {"linf": 1.0, "l2": 1e4, "l1": 1e8}  # more than any image's diagonal

ROUNDING = 1e-6
"""How far, in pixel units, float32 rounding may carry a projected image out of its ball."""


@dataclass(frozen=True)
class Threat:
    """A ball round each image, cut with the box [0, 1].

    Args:
        norm: `linf`, `l2` or `l1`.
        eps: radius in pixel units (8/255, not 8).
        text: the radius as it was written, for tables; by default the shortest decimal.

    Raises:
        SpecError: a radius that is not positive, or an L-inf radius above 1.
    """

    norm: Norm
    eps: float
    text: str = ""

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise SpecError(f"there is no norm {self.norm!r}. {nearest(self.norm, get_args(Norm))}")
        given: object = self.eps
        if isinstance(given, str):
            raise SpecError(f"eps must be a number, got {self.eps!r}: Threat.parse reads texts.")
        largest = 1.0 if self.norm == "linf" else float("inf")
        if not 0.0 < self.eps <= largest or self.eps == float("inf"):
            hint = f" Did you mean {self.eps:g}/255?" if 1.0 < self.eps < 255.0 else ""
            expected = "(0, 1]" if self.norm == "linf" else "(0, inf)"
            raise SpecError(f"eps must lie in {expected} for {self.norm}, got {self.text or self.eps}.{hint}")
        object.__setattr__(self, "text", self.text or f"{self.eps:.12g}")

    @classmethod
    def parse(cls, norm: Norm, text: str) -> "Threat":
        """A threat whose radius reads `8/255` or `0.03`, and prints back as it was given.

        `inf` lets every pixel become anything.
        """
        if text.strip() == "inf":
            return cls(norm, _UNBOUNDED[norm], "inf")
        return cls(norm, parse_number(text, "eps"), text.strip())

    def project(self, x_adv: Tensor, x: Tensor, eps: Tensor | None = None) -> Tensor:
        """`x_adv` brought into the ball round `x` and into [0, 1]; both `(n, c, h, w)`.

        Args:
            x_adv: candidates.
            x: clean images.
            eps: a radius an image instead of the threat's, `(n,)`.
        """
        radius = self.eps if eps is None else eps
        match self.norm:
            case "linf":
                return norms.project_linf(x_adv, x, radius)
            case "l2":
                return norms.project_l2(x_adv, x, radius)
            case "l1":
                return norms.project_l1(x_adv, x, radius)
            case _:
                assert_never(self.norm)

    def steepest(self, grad: Tensor) -> Tensor:
        """Unit step of this norm along which the loss grows fastest, `(n, c, h, w)`; 0 where `grad` is 0."""
        match self.norm:
            case "linf":
                return norms.steepest_linf(grad)
            case "l2":
                return norms.steepest_l2(grad)
            case "l1":
                return norms.steepest_l1(grad)
            case _:
                assert_never(self.norm)

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Distance of each image from its clean one in this norm, `(n,)`, in pixel units."""
        match self.norm:
            case "linf":
                return norms.linf_norm(x_adv - x)
            case "l2":
                return norms.l2_norm(x_adv - x)
            case "l1":
                return norms.l1_norm(x_adv - x)
            case _:
                assert_never(self.norm)

    def random_point(self, x: Tensor, draws: Draws) -> Tensor:
        """A point drawn uniformly from the ball round each image, then clipped to [0, 1]; `(n, c, h, w)`."""
        shape = tuple(x.shape[1:])
        match self.norm:
            case "linf":
                delta = norms.uniform_linf(draws.uniform(shape), self.eps)
            case "l2":
                delta = norms.uniform_l2(draws.normal(shape), draws.stream("radius").uniform(()), self.eps)
            case "l1":
                lengths = draws.stream("lengths").uniform((math.prod(shape) + 1,))
                delta = norms.uniform_l1(draws.uniform(shape), lengths, self.eps)
            case _:
                assert_never(self.norm)
        return (x + delta.to(x)).clamp(0.0, 1.0)

    def contains(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Whether each image is finite, in the box, and in the ball up to float32 rounding; `(n,)` bool."""
        in_box = ((x_adv >= 0.0) & (x_adv <= 1.0)).flatten(1).all(1)  # a NaN fails both comparisons
        slack = ROUNDING * max(1.0, self.eps)
        return in_box & (self.distance(x_adv, x) <= self.eps + slack)
