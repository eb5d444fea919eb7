"""The images and networks of the gallery: scikit-learn's digits, and networks trained on them in seconds."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.data.batches import batches
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from benchmarks.adaptive.ascent import Classifier

COUNT: Final = 100
"""The gallery attacks the first images of the test split: `--dataset digits --first 100`."""

Network = TypeVar("Network", bound=nn.Module)

Perturb = Callable[[Classifier, Tensor, Tensor], Tensor]
"""A network, images and labels to the images that the network is trained on."""


class Images(NamedTuple):
    """Images `(n, 1, 8, 8)` in [0, 1], and their labels `(n,)`."""

    x: Tensor
    y: Tensor


@cache
def digits(split: str) -> Images:
    """All images of a split, `train` or `test`."""
    images = load_dataset("digits", Place(root=Path(), split=split))
    (batch,) = batches(images, range(len(images)), len(images))
    return Images(batch.x, batch.y)


def attacked() -> Images:
    """The images that every line of the gallery attacks."""
    x, y = digits("test")
    return Images(x[:COUNT], y[:COUNT])


def spared() -> Tensor:
    """The images of the test split that no line attacks."""
    return digits("test").x[COUNT:]


def train(
    network: Callable[[], Network],
    *,
    seed: int = 0,
    epochs: int = 30,
    perturb: Perturb | None = None,
    loss_of: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Network:
    """A network trained by Adam on the training split, in evaluation mode.

    Args:
        network: makes it.
        seed: of its weights, of the order of the images, and of whatever the network draws.
        epochs: of batches of 100.
        perturb: what each batch is made into before the network is trained on it.
        loss_of: the loss of outputs and labels.
    """
    x, y = digits("train")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = network().train()
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), 100):
                images = x[rows] if perturb is None else perturb(model, x[rows], y[rows])
                loss = loss_of(model(images), y[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
    return model.eval().requires_grad_(False)


def inside_ball(eps: float, steps: int = 5) -> Perturb:
    """What adversarial training perturbs its batches by (Madry et al. 2018)."""

    def perturb(model: Classifier, x: Tensor, y: Tensor) -> Tensor:
        x_adv = x + eps * (2 * torch.rand_like(x) - 1)
        for _ in range(steps):
            x_adv = x_adv.detach().requires_grad_()
            (grad,) = torch.autograd.grad(F.cross_entropy(model(x_adv), y), x_adv)
            x_adv = (x_adv + 2 * eps / steps * grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
        return x_adv.detach()

    return perturb


class Perceptron(nn.Module):
    """Two hidden layers of 128 and a linear head: trained in a second, and a fair classifier of digits.

    Args:
        outputs: length of the logits.
    """

    def __init__(self, *, outputs: int = 10) -> None:
        super().__init__()
        hidden = (nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.features = nn.Sequential(nn.Flatten(), *hidden)
        self.head = nn.Linear(128, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, 1, 8, 8)` to logits `(n, k)`."""
        logits: Tensor = self.head(self.features(x))
        return logits


@cache
def _plain(seed: int) -> Perceptron:
    return train(Perceptron, seed=seed)


@cache
def _robust(seed: int, eps: float) -> Perceptron:
    return train(Perceptron, seed=seed, epochs=60, perturb=inside_ball(eps))


def plain_network(seed: int = 0) -> Perceptron:
    """A network that was trained on clean images, another one for each seed."""
    return deepcopy(_plain(seed))


def robust_network(seed: int = 0, eps: float = 0.1) -> Perceptron:
    """A network that was trained adversarially for a radius in L-inf."""
    return deepcopy(_robust(seed, eps))
