"""Rays from clean images to the nearest point on each that is known to fool, by classes alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from advbench.defended.gradient import Model
from advbench.defended.model import DefendedModel
from advbench.threat.judge import fooled, predict
from advbench.threat.threat import Threat

_DEEP = 0.25  # of the radius, behind a random defense
_TINY = 1e-12


@dataclass
class Rays:
    """One ray an image, and how far along it the nearest example is that is known.

    A query asks for the class at one point of a ray: neither scores nor their order below the first are
    looked at. An image is settled once its example fits the ball. Behind a random defense it must fool at a
    quarter of the radius, since what fools there in a few draws lies deep at the whole radius.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`, of which the largest counts.
        x: clean images, `(n, c, h, w)`.
        y: labels, `(n,)`.
        threat: the norm in which distances are measured, and the radius that is enough.
        budget: queries an image at most.
        direction: unit length in the norm, `(n, c, h, w)`.
        radius: of the nearest example, `(n,)`; infinite where none is known.
        queries: spent on each image, `(n,)` int64.
        nearest: the points at the ends of the rays as they were asked about, `(n, c, h, w)`.
    """

    model: Model
    x: Tensor
    y: Tensor
    threat: Threat
    budget: int
    direction: Tensor
    radius: Tensor
    queries: Tensor
    nearest: Tensor

    @classmethod
    def unknown(cls, model: Model, x: Tensor, y: Tensor, threat: Threat, budget: int) -> "Rays":
        """The state before the first query."""
        radius = torch.full((len(x),), torch.inf, device=x.device)
        queries = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return cls(model, x, y, threat, budget, torch.zeros_like(x), radius, queries, x.clone())

    @property
    def goal(self) -> float:
        """The distance at which an image is settled."""
        is_random = isinstance(self.model, DefendedModel) and self.model.is_random
        return self.threat.eps * _DEEP if is_random else self.threat.eps

    def wanted(self, needed: int = 1) -> Tensor:
        """Places of the images that are not settled and may still ask `needed` times, `(m,)`."""
        chosen = (self.radius > self.goal) & (self.queries + needed <= self.budget)
        return chosen.nonzero().flatten()

    def at(self, rows: Tensor, direction: Tensor, radius: Tensor) -> Tensor:
        """The images at `radius` `(m,)` along `direction` `(m, c, h, w)`, in the box."""
        return (self.x[rows] + radius.view(-1, 1, 1, 1) * direction).clamp(0.0, 1.0)

    @torch.no_grad()
    def ask(self, rows: Tensor, points: Tensor) -> Tensor:
        """Whether the points fool, `(m,)` bool; a query of each image that is shown.

        A model that adapts to its batch is shown all images, the others where their examples are.
        """
        if isinstance(self.model, DefendedModel) and self.model.goes_together:
            whole = self.examples()
            whole[rows] = points
            self.queries += 1
            return fooled(predict(self.model(whole)), self.y)[rows]
        self.queries[rows] += 1
        return fooled(predict(self.model(points)), self.y[rows])

    def take(self, rows: Tensor, direction: Tensor, radius: Tensor, points: Tensor) -> None:
        """Points that fool, as the images' rays from here on.

        What the box has cut off is no part of a ray; but in L-inf a direction stays a pattern of signs.
        """
        if self.threat.norm != "linf":
            radius = self.threat.distance(points, self.x[rows])
            direction = (points - self.x[rows]) / radius.clamp_min(_TINY).view(-1, 1, 1, 1)
        self.radius[rows], self.nearest[rows] = radius, points
        self.direction[rows] = direction

    def offer(self, rows: Tensor, direction: Tensor, radius: Tensor) -> Tensor:
        """Ask at one point of each image and take those that fool; which do, `(m,)` bool."""
        points = self.at(rows, direction, radius)
        fell = self.ask(rows, points)
        self.take(rows[fell], direction[fell], radius[fell], points[fell])
        return fell

    def shorten(self, rows: Tensor, low: Tensor, part: float) -> None:
        """Bisect along each ray, the decision at the border of the ball first.

        Args:
            rows: images whose example is known, `(m,)`.
            low: distances at which they are taken not to fool, `(m,)`.
            part: of the distance, to which it is to be known.
        """
        low = low.clone()
        while True:
            high = self.radius[rows]
            open_ends = (high - low > part * high) & (high > self.goal) & (self.queries[rows] < self.budget)
            left = open_ends.nonzero().flatten()
            if len(left) == 0:
                return
            middle = (low[left] + high[left]) / 2.0
            middle = torch.where(low[left] < self.goal, torch.full_like(middle, self.goal), middle)
            fell = self.offer(rows[left], self.direction[rows[left]], middle)
            low[left] = torch.where(fell, low[left], middle)

    def examples(self) -> Tensor:
        """The nearest example of each image, `(n, c, h, w)`, also where it is outside of the ball.

        It is the very point that fooled: another one on the ray may not, by rounding alone.
        """
        return self.nearest.clone()

    def deepened(self) -> Tensor:
        """The examples to hand back: for one inside the ball that at its border, if that fools too."""
        x_adv = self.examples()
        rows = ((self.radius < self.threat.eps) & (self.queries < self.budget)).nonzero().flatten()
        if self.goal < self.threat.eps and len(rows) > 0:
            border = torch.full_like(self.radius[rows], self.threat.eps)
            points = self.at(rows, self.direction[rows], border)
            fell = self.ask(rows, points)
            x_adv[rows[fell]] = points[fell]
        return x_adv
