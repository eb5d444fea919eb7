"""A layer that moves an image towards the class that the network sees in it, and lets it look again."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adaptive.ascent import Classifier, margin, standing
from benchmarks.adaptive.digits import plain_network
from benchmarks.adaptive.line import Line

STEPS = 2
SIZE = 0.15


class AntiAdversary:
    """`x - a sum_k sign grad CE(f(x_k), argmax f(x))`, without a derivative of its own.

    Args:
        network: pixels to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, x: Tensor) -> Tensor:
        """Images of the shape of `x`, which leave [0, 1] by at most the sum of the steps."""
        moved = x.detach()
        label = self.network(moved).argmax(1)
        with torch.enable_grad():
            for _ in range(STEPS):
                moved = moved.detach().requires_grad_()
                (grad,) = torch.autograd.grad(F.cross_entropy(self.network(moved), label), moved)
                moved = moved - SIZE / STEPS * grad.sign()
        return moved.detach()


layer = AntiAdversary(plain_network())


def against_layer(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The layer confirms what the network says: fool the network alone, and the layer makes sure of it."""
    network: Classifier = plain_network()

    def loss(x_adv: Tensor) -> Tensor:
        return margin(network(x_adv), y)

    def stands(x_adv: Tensor) -> Tensor:
        return network(layer(x_adv)).argmax(1) == y

    return standing(loss, stands, x, eps)


def network() -> nn.Module:
    """The network behind the layer."""
    return plain_network()


LINE = Line(
    name="anti-adversary layer",
    kind="adaptation",
    paper="Alfarra et al. 2022",
    options="--model benchmarks.adaptive.anti_adversary:network "
    "--defense benchmarks.adaptive.anti_adversary:layer --gradient-free square:queries=200",
    adaptive=against_layer,
    right=("masked",),
    eps=0.2,
)
