"""A random forest on the features of a network."""

from functools import cache
from typing import Any

import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

from benchmarks.adaptive.ascent import Classifier, margin, standing
from benchmarks.adaptive.digits import digits, plain_network
from benchmarks.adaptive.line import Line


class Forest(nn.Module):
    """Features of a network, and a hundred trees that vote on them in NumPy."""

    def __init__(self) -> None:
        super().__init__()
        network, (x, y) = plain_network(), digits("train")
        self.features = network.features
        self.trees: Any = RandomForestClassifier(100, random_state=0)
        with torch.no_grad():
            self.trees.fit(self.features(x).numpy(), y.numpy())

    def forward(self, x: Tensor) -> Tensor:
        """The trees' probabilities, `(n, k)`, without a gradient."""
        features = self.features(x).detach().numpy()
        return torch.from_numpy(self.trees.predict_proba(features)).to(x.dtype)


@cache
def _trained() -> nn.Module:
    return Forest().eval().requires_grad_(False)


def network() -> nn.Module:
    """The features with the forest."""
    return _trained()


def soft_model() -> nn.Module:
    """The network whose features the forest reads, with the linear head that they were trained for."""
    return plain_network()


def against_forest(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """What moves the features far across the linear head's border takes most trees along."""
    forest: Classifier = network()
    linear: Classifier = soft_model()

    def stands(x_adv: Tensor) -> Tensor:
        return forest(x_adv.detach()).argmax(1) == y

    return standing(lambda x_adv: margin(linear(x_adv), y), stands, x, eps)


LINE = Line(
    name="random forest on features",
    kind="head",
    paper="Kantchelian, Tygar, Joseph 2016, on trees",
    options="--model benchmarks.adaptive.forest:network "
    "--surrogate benchmarks.adaptive.forest:soft_model --gradient-free square:queries=1000",
    adaptive=against_forest,
    right=("masked",),
    eps=0.12,
)
