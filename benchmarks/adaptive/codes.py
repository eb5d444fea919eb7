"""Twenty bits that a network tells apart, and the class whose code word differs from them in the fewest."""

from copy import deepcopy
from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adaptive.ascent import standing, targeted
from benchmarks.adaptive.digits import Perceptron, train
from benchmarks.adaptive.line import Line

BITS: Final = 20


def code() -> Tensor:
    """The word of each class in -1 and 1, `(10, bits)`, of which any two differ in many."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 2, (10, BITS), generator=generator) * 2.0 - 1.0


class Decoder(nn.Module):
    """Bits of a network, and how far they agree with each class's word; `bit@network` makes them -1 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Perceptron(outputs=BITS)
        self.register_buffer("words", code())
        self.words: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Agreement with each class's word, `(n, k)`."""
        agreement: Tensor = torch.tanh(self.network(x)) @ self.words.T
        return agreement


def bit(soft: Tensor) -> Tensor:
    """The sign of each, with 1 for 0."""
    return (soft >= 0).to(soft.dtype) * 2 - 1


def clipped(raw: Tensor) -> Tensor:
    """What stands in for `bit`: a bit that is far on the wrong side needs to go no further."""
    return raw.clamp(-2, 2)


@cache
def _trained() -> nn.Module:
    def loss_of(agreement: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(agreement, y)

    return train(Decoder, loss_of=loss_of)


def network() -> nn.Module:
    """The trained network with soft bits."""
    return deepcopy(_trained())


def against_code(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Leave out what saturates: correlate words with what the last layer says, for each wrong class in turn.

    After Tramer et al. 2020.
    """
    model = _trained()
    assert isinstance(model, Decoder)

    def stands(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            return (bit(model.network(x_adv)) @ model.words.T).argmax(1) == y

    left = torch.ones_like(y, dtype=torch.bool)
    for shift in range(1, 10):
        target = (y + shift) % 10

        def loss(x_adv: Tensor, target: Tensor = target) -> Tensor:
            return targeted(clipped(model.network(x_adv)) @ model.words.T, y, target)

        left &= standing(loss, stands, x, eps, restarts=1, seed=shift)
    return left


LINE = Line(
    name="error-correcting output code",
    kind="head",
    paper="Verma, Swami 2019",
    options="--model benchmarks.adaptive.codes:network --defense benchmarks.adaptive.codes:bit@network "
    "--substitute benchmarks.adaptive.codes:clipped --attack apgd:loss=margin,targets=9 "
    "--gradient-free square:queries=200",
    adaptive=against_code,
    right=("masked",),
    eps=0.1,
)
