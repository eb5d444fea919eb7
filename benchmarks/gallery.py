"""Twelve classifiers on the digits: eight hide their gradients, each in another way, and four do not.

    python -m benchmarks.gallery

Prints for each what every rung left standing of 100 images, and the verdict. Two minutes on one core.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import advbench.models
from advbench import Draws, Placement, Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.defenses import Argmax, Gaussian, Round
from advbench.evaluation.plan import Chain
from advbench.models.digits_cnn import DigitsCNN
from advbench.reports.grid import TITLES
from advbench.results.records import LADDER, Row

WEIGHTS = Path(advbench.models.__file__).parent / "weights/digits-cnn.safetensors"
TRAINED_ON = 1400
EPS = 0.15


@dataclass(frozen=True)
class Exhibit:
    """One classifier.

    Args:
        name: what it is.
        expected: the verdict, to its first word or more, and `evidence`, a part of what it must name.
        model: makes the network.
        defenses: what stands before, inside or behind it; none where the network itself is looked at.
        settings: of the evaluation.
    """

    name: str
    expected: str
    evidence: str
    model: Callable[[], nn.Module]
    defenses: dict[str, Chain] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


class Around(nn.Module):
    """A network with something before it and something behind it."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = torch.clone,
        behind: Callable[[Tensor], Tensor] = torch.clone,
    ) -> None:
        super().__init__()
        self.network, self.before, self.behind = network, before, behind

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, c, h, w)` to logits `(n, k)`."""
        return self.behind(self.network(self.before(x)))


class KWinners(nn.Module):
    """Two hidden layers of which the 12 largest activations go on (Xiao, Zhong, Zheng 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(64, 256), nn.Linear(256, 256)])
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, 1, 8, 8)` to logits `(n, 10)`."""
        x = x.flatten(1)
        for layer in self.hidden:
            x = layer(x)
            x = x * (x >= x.topk(12, dim=1).values[:, -1:])
        logits: Tensor = self.head(x)
        return logits


class _Dither:
    """Rounds to one of five levels, up or down by chance."""

    random = True

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Images, `(n, c, h, w)`, with the draws of each."""
        return torch.floor(4 * x + draws.uniform(tuple(x.shape[1:])).to(x)) / 4


DITHER: Any = _Dither()  # random, which plain maps are not


def digits() -> tuple[Tensor, Tensor]:
    """Images `(1797, 1, 8, 8)` in [0, 1], and labels."""
    x, y = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
    return x.float().view(-1, 1, 8, 8) / 16, y


def bundled() -> nn.Module:
    """The network that the package brings."""
    network = DigitsCNN()
    network.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    return network


def trained(network: Callable[[], nn.Module], eps: float = 0.0, epochs: int = 60) -> nn.Module:
    """A network trained on the first 1,400 digits; adversarially (Madry et al. 2018) where there is a radius.

    Args:
        network: makes it.
        eps: the radius, in L-inf.
        epochs: of batches of 100.
    """
    torch.manual_seed(0)
    model, (x, y) = network(), digits()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(TRAINED_ON).view(-1, 100):
            images = _perturbed(model, x[rows], y[rows], eps) if eps else x[rows]
            loss = F.cross_entropy(model(images), y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model


def _perturbed(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    x_adv = x + eps * (2 * torch.rand_like(x) - 1)
    for _ in range(5):
        x_adv = x_adv.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(x_adv), y), x_adv)
        x_adv = (x_adv + eps / 3 * grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_adv.detach()


def _saturated(x: Tensor) -> Tensor:
    return torch.sigmoid(300 * (x - 0.5))


def _certain(logits: Tensor) -> Tensor:
    return (50 * logits).softmax(1)


def _nothing(logits: Tensor) -> Tensor:
    return 0.0 * logits


EXHIBITS = (
    Exhibit("rounded pixels", "masked", "BPDA", bundled, {"round": Round()}),
    Exhibit("rounded inside", "masked", "BPDA", bundled, {"round@layer2": Placement(Round(), "layer2")}),
    Exhibit(
        "a sigmoid that saturates",
        "masked",
        "gradient-free",
        lambda: trained(lambda: Around(DigitsCNN(), before=_saturated)),
    ),
    Exhibit(
        "softmax of 50 times the logits",
        "unreliable",
        "without a gradient",
        lambda: Around(bundled(), behind=_certain),
    ),
    Exhibit(
        "rounding by chance",
        "masked",
        "BPDA",
        bundled,
        {"dither": DITHER},
        {"eot": 8, "judge_draws": 9},
    ),
    Exhibit(
        "pixels cut off the graph", "masked", "gradient-free", lambda: Around(bundled(), before=Tensor.detach)
    ),
    Exhibit("k winners take all", "masked", "gradient-free", lambda: trained(KWinners)),
    Exhibit(
        "the class alone, and no substitute",
        "masked",
        "undefended",
        bundled,
        {"argmax@logits": Placement(Argmax(), "logits", substitute=_nothing)},
    ),
    Exhibit("undefended", "not robust", "of 100 images stand", bundled),
    Exhibit(
        "adversarially trained", "robust as measured", "of 100 images stand", lambda: trained(DigitsCNN, EPS)
    ),
    Exhibit(
        "Gaussian smoothing", "not robust", "of 100 images stand", bundled, {"gaussian": Gaussian(sigma=0.5)}
    ),
    Exhibit(
        "a defense that does nothing", "not robust", "of 100 images stand", bundled, {"same": nn.Identity()}
    ),
)


def look_at(exhibit: Exhibit, count: int = 100) -> Row:
    """Climb the ladder; returns the row of the defense, or of the network where there is none."""
    x, y = digits()
    held_out = slice(TRAINED_ON, TRAINED_ON + count)
    evaluation = evaluate(
        exhibit.model().eval(),
        TensorDataset(x[held_out], y[held_out]),
        threat=Threat("linf", EPS),
        attacks={"pgd": PGD()},
        gradient_free={"square:queries=500": Square(queries=500)},
        defenses=exhibit.defenses,
        rungs=LADDER,
        **exhibit.settings,
    )
    return evaluation.rows[-1]


def lines(exhibits: tuple[Exhibit, ...] = EXHIBITS) -> Iterator[str]:
    """A table in Markdown, a line at a time."""
    yield f"| classifier | {' | '.join(TITLES.values())} | verdict |"
    yield "|:--" + "|--:" * len(TITLES) + "|:--|"
    for exhibit in exhibits:
        row = look_at(exhibit)
        counts = [str(row.rates[rung].count) if rung in row.rates else "–" for rung in TITLES]
        yield f"| {exhibit.name} | {' | '.join(counts)} | {row.verdict} |"


if __name__ == "__main__":
    for line in lines():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
