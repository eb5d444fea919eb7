"""What tests of attacks share: an attempt that must keep its promises, and a model that counts."""

from collections.abc import Callable

import torch
from torch import Tensor

from advbench import Attack, Attempt, Draws, Threat

Model = Callable[[Tensor], Tensor]


def run(attack: Attack, model: Model, x: Tensor, y: Tensor, threat: Threat, seed: int = 0) -> Attempt:
    """Attack a batch whose images are the first of their data set; what comes back keeps to its form."""
    attempt = attack(model, x, y, threat, Draws(seed, torch.arange(len(x))))
    assert threat.contains(attempt.x_adv, x).all()
    assert attempt.x_adv.shape == x.shape
    return attempt


class Counted:
    """A model that notes the size of every batch it is given, and whether a gradient was wanted."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sizes: list[int] = []
        self.gradients = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        self.gradients += x.requires_grad or torch.is_grad_enabled()
        return self.model(x)
