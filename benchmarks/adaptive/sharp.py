"""Probabilities of a hundred times the logits: certain of everything, and flat to float32."""

import torch
from torch import Tensor, nn

from benchmarks.adaptive.ascent import Classifier, margin, standing
from benchmarks.adaptive.digits import plain_network
from benchmarks.adaptive.line import Line

SHARPNESS = 100.0


def certain(logits: Tensor) -> Tensor:
    """`softmax(100 z)` of logits `(n, k)`."""
    return torch.softmax(SHARPNESS * logits, 1)


class Sharp(nn.Module):
    """`softmax(100 f(x))` in the place of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.network = plain_network()

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities, `(n, k)`."""
        return certain(self.network(x))


def network() -> nn.Module:
    """The network behind its own softmax."""
    return Sharp().eval()


def soft_model() -> nn.Module:
    """The network without its softmax: what an attacker differentiates."""
    return plain_network()


def against_sharp(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Softmax is monotone: follow the logits (Carlini, Wagner 2016, on defensive distillation)."""
    model, logits_of = network(), plain_network()
    own: Classifier = logits_of

    def stands(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            predicted: Tensor = model(x_adv).argmax(1)
        return predicted == y

    return standing(lambda x_adv: margin(own(x_adv), y), stands, x, eps)


PLACED = Line(
    name="softmax of 100 times the logits",
    kind="head",
    paper="Papernot et al. 2016",
    options="--model benchmarks.adaptive.sharp:soft_model "
    "--defense benchmarks.adaptive.sharp:certain@logits --substitute identity "
    "--gradient-free square:queries=200",
    adaptive=against_sharp,
    right=("masked",),
    eps=0.1,
)
INSIDE = Line(
    name="the same softmax inside the model",
    kind="head",
    paper="Papernot et al. 2016",
    options="--model benchmarks.adaptive.sharp:network "
    "--surrogate benchmarks.adaptive.sharp:soft_model --gradient-free square:queries=200",
    adaptive=against_sharp,
    right=("masked",),
    eps=0.1,
)
