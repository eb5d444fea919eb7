"""A classifier with an eleventh class for what is not to be trusted, trained on adversarial examples."""

from copy import deepcopy
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adaptive.ascent import Classifier, standing, targeted
from benchmarks.adaptive.digits import Perceptron, inside_ball, train
from benchmarks.adaptive.line import Line

REJECT = 10
EPS = 0.2


@cache
def _trained() -> nn.Module:
    attack = inside_ball(EPS)

    def half_adversarial(model: Classifier, images: Tensor, y: Tensor) -> Tensor:
        return torch.cat([images, attack(lambda x: model(x)[:, :REJECT], images, y)])

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        rejected = torch.full_like(y, REJECT)
        return F.cross_entropy(outputs, torch.cat([y, rejected]))

    return train(lambda: Perceptron(outputs=11), epochs=40, perturb=half_adversarial, loss_of=loss_of)


def network() -> nn.Module:
    """The network, from pixels to eleven outputs."""
    return deepcopy(_trained())


def against_reject_class(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """For each wrong digit: raise it above the right class and above the class that refuses."""
    model: Classifier = network()

    def stands(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            predicted = model(x_adv).argmax(1)
        return (predicted == y) | (predicted == REJECT)

    with torch.no_grad():
        left = model(x).argmax(1) == y
    for shift in range(1, 10):
        target = (y + shift) % 10

        def loss(x_adv: Tensor, target: Tensor = target) -> Tensor:
            logits = model(x_adv)
            over = logits.gather(1, target[:, None]).squeeze(1) - logits[:, REJECT]
            return torch.minimum(targeted(logits, y, target), over)

        left &= standing(loss, stands, x, eps, restarts=1, seed=shift)
    return left


LINE = Line(
    name="a class that refuses",
    kind="detector",
    paper="Grosse et al. 2017",
    options=f"--model benchmarks.adaptive.reject:network --reject-class {REJECT} --attack pgd:loss=margin "
    "--restarts 3 --gradient-free square:queries=200",
    adaptive=against_reject_class,
    right=("masked",),
    eps=EPS,
)
