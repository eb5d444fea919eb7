"""A hard-label attack: it asks for classes alone, so that scores that lie cannot mislead it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advbench.defended.gradient import Model
from advbench.draws.draws import Draws
from advbench.errors import SpecError
from advbench.threat.attack import Attempt
from advbench.threat.threat import Threat

from .normal_search import search_normals
from .rays import Rays
from .sign_search import search_signs


@dataclass(frozen=True, kw_only=True)
class HardLabel:
    """The distance to the boundary along a ray, made shorter until it fits the ball.

    In L-inf a search over the signs of the perturbation, after RayS (Chen, Gu 2020); in L2 and L1 estimates
    of the boundary's normal, after HopSkipJump (Chen, Jordan, Wainwright 2020). Each query is answered by a
    class. Images whose example fits are asked about no more.

    Args:
        queries: forward passes an image, at most.

    Raises:
        SpecError: a number outside its range.
    """

    chunked: ClassVar[bool] = True

    queries: int = 5000

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise SpecError(f"hard-label: queries must be at least 1, got {self.queries}.")

    @torch.no_grad()
    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """The nearest examples of `x` that were found, also those outside of the ball; see `Attack`."""
        rays = Rays.unknown(model, x, y, threat, self.queries)
        search = search_signs if threat.norm == "linf" else search_normals
        search(rays, draws)
        x_adv, nothing = rays.deepened(), torch.zeros_like(rays.queries)
        return Attempt(x_adv, nothing, rays.queries, nothing.bool())
