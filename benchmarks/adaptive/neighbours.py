"""The five nearest neighbours vote, by the distance between features of a network."""

import math
from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adaptive.ascent import margin, standing
from benchmarks.adaptive.digits import digits, plain_network
from benchmarks.adaptive.line import Line

K: Final = 5
TEMPERATURE: Final = 0.3
FAR: Final = TEMPERATURE * 14.0
"""All others together weigh a thousandth of one neighbour: they decide between equal votes alone."""


class Neighbours(nn.Module):
    """A network's features, their distances to those of the training images, and what these vote for.

    As it stands near images weigh more than far ones and it has a gradient: the vote of the K nearest is what
    `nearest` makes of it at `distances`.
    """

    def __init__(self) -> None:
        super().__init__()
        network, (x, y) = plain_network(), digits("train")
        self.features = network.features
        self.distances = nn.Identity()
        with torch.no_grad():
            self.register_buffer("bank", self.features(x))
        self.register_buffer("votes", F.one_hot(y, 10).float())
        self.bank: Tensor
        self.votes: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of each class's share of the votes, `(n, k)`."""
        distances = self.distances(torch.cdist(self.features(x), self.bank))
        shares = (-distances / TEMPERATURE).softmax(1) @ self.votes
        logits: Tensor = (shares + 1e-12).log()
        return logits


def nearest(distances: Tensor) -> Tensor:
    """Distance 0 for the K nearest images, and `FAR` for all others, `(n, bank)`."""
    chosen = distances.topk(K, dim=1, largest=False).indices
    return torch.full_like(distances, FAR).scatter(1, chosen, 0.0)


@cache
def network() -> nn.Module:
    """The soft vote; `nearest@distances` makes it the hard one."""
    return Neighbours().eval().requires_grad_(False)


def against_neighbours(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Draw the features to the nearest training images of another class, and away from those of their own."""
    model = network()
    assert isinstance(model, Neighbours)

    def loss(x_adv: Tensor) -> Tensor:
        distances = torch.cdist(model.features(x_adv), model.bank)
        nearness = [
            distances.masked_fill(model.votes[:, k] == 0, torch.inf).topk(K, 1, largest=False).values.mean(1)
            for k in range(10)
        ]
        return margin(-torch.stack(nearness, 1), y)

    def stands(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            chosen = torch.cdist(model.features(x_adv), model.bank).topk(K, 1, largest=False).indices
        shares: Tensor = model.votes[chosen].sum(1) + math.exp(-FAR / TEMPERATURE) * model.votes.sum(0)
        return shares.argmax(1) == y

    return standing(loss, stands, x, eps)


LINE = Line(
    name="five nearest neighbours",
    kind="head",
    paper="Papernot, McDaniel 2018",
    options="--model benchmarks.adaptive.neighbours:network "
    "--defense benchmarks.adaptive.neighbours:nearest@distances --substitute identity "
    "--attack apgd:loss=margin --restarts 3 "
    "--gradient-free square:queries=200",
    adaptive=against_neighbours,
    right=("masked",),
    eps=0.12,
)
