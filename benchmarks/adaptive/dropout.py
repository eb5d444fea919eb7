"""A network whose dropout stays on, and one that was trained for its radius and sees some noise."""

from copy import deepcopy
from functools import cache

import torch
from torch import Tensor, nn

from advbench import Draws
from benchmarks.adaptive.ascent import Classifier, always, majority, margin, standing
from benchmarks.adaptive.digits import Perceptron, robust_network, train
from benchmarks.adaptive.line import Line

DROP = 0.2
EOT = 8
RESUBMISSIONS = 10
SIGMA = 0.03


class DropsPixels(nn.Module):
    """A fifth of the pixels is black in every pass, in training and afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Perceptron()

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Logits in one draw, `(n, k)`; the draws are torch's where none are given."""
        uniform = torch.rand_like(x) if draws is None else draws.uniform(x.shape[1:]).to(x)
        logits: Tensor = self.network(x * (uniform >= DROP) / (1 - DROP))
        return logits


@cache
def _trained() -> nn.Module:
    return train(DropsPixels, epochs=40)


def network() -> nn.Module:
    """The network with its dropout."""
    return deepcopy(_trained())


def against_dropout(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Gradients in expectation over the pixels that are dropped; the example is submitted ten times."""
    model: Classifier = network()

    def loss(x_adv: Tensor) -> Tensor:
        return margin(model(x_adv.repeat(EOT, 1, 1, 1)), y.repeat(EOT)).view(EOT, -1).mean(0)

    def right(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            return model(x_adv).argmax(1) == y

    def stands(x_adv: Tensor) -> Tensor:
        return always(lambda: right(x_adv), RESUBMISSIONS)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        clean = majority(lambda: right(x))
    return standing(loss, lambda z: stands(z) if z is not x else clean, x, eps, restarts=1, look_every=100)


def robust() -> nn.Module:
    """A network that was trained adversarially."""
    return robust_network()


def against_noise(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Gradients in expectation over the noise, of a network that is robust without it."""
    model: Classifier = robust_network()

    def noisy(x: Tensor) -> Tensor:
        return x + SIGMA * torch.randn_like(x)

    def loss(x_adv: Tensor) -> Tensor:
        return margin(model(noisy(x_adv.repeat(EOT, 1, 1, 1))), y.repeat(EOT)).view(EOT, -1).mean(0)

    def right(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            return model(noisy(x_adv)).argmax(1) == y

    def stands(x_adv: Tensor) -> Tensor:
        return majority(lambda: right(x_adv))

    return standing(loss, stands, x, eps, restarts=1, look_every=100)


DROPOUT = Line(
    name="dropout that stays on",
    kind="random model",
    paper="Feinman et al. 2017",
    options="--model benchmarks.adaptive.dropout:network --random-model "
    f"--judge any:{RESUBMISSIONS} --eot {EOT} --gradient-free square:queries=100",
    adaptive=against_dropout,
    right=("not robust",),
    eps=0.08,
)
NOISE = Line(
    name="robust network with some noise",
    kind="random model",
    paper="Liu et al. 2018; Madry et al. 2018",
    options=f"--model benchmarks.adaptive.dropout:robust --defense noise:sigma={SIGMA} --eot {EOT} "
    "--gradient-free square:queries=100",
    adaptive=against_noise,
    right=("robust as measured",),
    eps=0.1,
)
