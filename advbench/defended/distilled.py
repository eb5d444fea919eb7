"""A small network fitted to a whole model, to be differentiated in its place.

The run's images, shifted a little and moved to random points of their balls, are shown to the model, and the
network is fitted to what it answers. Then it is attacked, the model is asked about the examples, and the
network is fitted to these too, in rounds: Papernot et al. 2017, "Practical black-box attacks against machine
learning", section 4, with a short ascent where they take one step along the substitute's Jacobian, and with
the shifts, without which fewer of the examples transferred (of 100 images of digits behind a vote 90 stood,
with shifts 77, with both 70). No label of the data set is used.
"""

import itertools
import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.defended.fitted_network import Fitted
from advbench.defended.learned import Pairs, Seen, pairs_of
from advbench.defended.surrogate import DISTILLED
from advbench.draws.draws import Draws
from advbench.draws.generators import seeded
from advbench.errors import ModelError
from advbench.threat.judge import predict
from advbench.threat.losses import margin
from advbench.threat.threat import Threat

STEPS: Final = 800
"""Of the first fit."""
ROUNDS: Final = 3
_MORE: Final = 250  # steps a round
_CLIMB: Final = 10
_RADII: Final = (0.5, 1.0, 1.5)
POINTS: Final = 8192
"""Points that the model is asked about, where there are enough images."""
EACH: Final = 25
"""Points an image at most."""
_BATCH: Final = 64
_LEARNING_RATE: Final = 3e-3
_SHARPNESS: Final = 3.0
"""Logits of the network a standard deviation of the model's."""
_SIDE: Final = 4  # of the last feature map
_WIDEST: Final = 128
_MOST: Final = 1 << 29  # bytes of points


class Distilled(Fitted):
    """Convolutions that halve the image down to 4x4, and two dense layers; logits `(n, k)`.

    Args:
        before: shape of an image, `(c, h, w)`.
        after: shape of its logits, `(k,)`.
    """

    kind = "distilled"

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        super().__init__(before, after)
        c, h, w = before
        first = 4 if min(h, w) > 64 else 2 if min(h, w) > 16 else 1
        layers: list[nn.Module] = [
            nn.Conv2d(c, 32, 3, first, 1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, 1, 1),
            nn.GELU(),
        ]
        h, w, width = -(-h // first), -(-w // first), 32
        while min(h, w) > _SIDE:
            wider = min(2 * width, _WIDEST)
            layers += [nn.Conv2d(width, wider, 3, 2, 1), nn.GELU()]
            h, w, width = -(-h // 2), -(-w // 2), wider
        dense = [nn.Flatten(), nn.Linear(width * h * w, 128), nn.GELU(), nn.Linear(128, after[0])]
        self.network = nn.Sequential(*layers, *dense)

    @property
    def __name__(self) -> str:
        """What tables call it."""
        return DISTILLED

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        logits: Tensor = _SHARPNESS * self.network(x - 0.5)
        return logits


def answers_near(seen: Seen, x: Tensor, draws: Draws, threat: Threat) -> Pairs:
    """Points near a run's images and what the model answers there.

    Args:
        seen: images to themselves and the model's outputs `(n, k)`.
        x: the run's images, `(n, c, h, w)`.
        draws: their streams.
        threat: how far an attack may move them.
    """
    times = max(2, min(EACH, POINTS // len(x)))
    times = max(1, min(times, _MOST // (x.numel() * x.element_size())))
    parts = [
        pairs_of(seen, shifted(x, place), draws.stream(f"shift {number}"), threat, count=len(x))
        for number, place in enumerate(itertools.islice(itertools.cycle(places(x)), times))
    ]
    return Pairs(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def places(x: Tensor) -> list[tuple[int, int]]:
    """Shifts of an image by up to an eighth of its side, every other one none."""
    far = max(1, min(x.shape[2:]) // 8)
    ways = (-far, 0, far)
    moves = [(down, right) for down in ways for right in ways if (down, right) != (0, 0)]
    return [place for move in moves for place in ((0, 0), move)]


def shifted(x: Tensor, place: tuple[int, int]) -> Tensor:
    """Images moved down and right by whole pixels, filled from the border, `(n, c, h, w)`."""
    (down, right), (h, w) = place, x.shape[2:]
    rows = (torch.arange(h, device=x.device) - down).clamp(0, h - 1)
    columns = (torch.arange(w, device=x.device) - right).clamp(0, w - 1)
    return x[:, :, rows][:, :, :, columns]


def distilled(seen: Seen, x: Tensor, draws: Draws, threat: Threat, seed: int) -> Distilled:
    """A network that answers as a model does.

    Args:
        seen: images to themselves and the model's outputs `(n, k)`.
        x: the run's images, `(n, c, h, w)`.
        draws: their streams.
        threat: how far an attack may move them.
        seed: of the initial weights and of the order of the points.

    Raises:
        ModelError: the model answers nothing that is finite.
    """
    points = _finite(answers_near(seen, x, draws, threat))
    with seeded(seed % 2**32, x.device):
        network = Distilled(tuple(x.shape[1:]), tuple(points.y.shape[1:])).to(x.device)
    _train(network, points, STEPS, seed)
    for number in range(ROUNDS):
        new = [_examples(network, x, threat, radius) for radius in _RADII]
        answers = [Pairs(*seen(part)) for whole in new for part in torch.split(whole, _BATCH)]
        points = _finite(Pairs(*(torch.cat(tensors) for tensors in zip(points, *answers, strict=True))))
        _train(network, points, _MORE, seed + number + 1)
    return network.eval().requires_grad_(False)


def _finite(points: Pairs) -> Pairs:
    """Those points at which the model answers numbers."""
    rows = points.y.isfinite().all(1)
    if not bool(rows.any()):
        raise ModelError(
            "a surrogate cannot be distilled from a model whose outputs are all NaN or infinite."
        )
    return Pairs(points.x[rows].detach(), points.y[rows].detach().float())


@torch.enable_grad()
def _examples(network: Distilled, x: Tensor, threat: Threat, radius: float) -> Tensor:
    """Images after a short ascent on the network's margin, within a multiple of the radius."""
    wide = Threat(
        threat.norm, min(radius * threat.eps, 1.0) if threat.norm == "linf" else radius * threat.eps
    )
    with torch.no_grad():
        labels = predict(network(x))
    x_adv = x
    for _ in range(_CLIMB):
        point = x_adv.detach().requires_grad_()
        (grad,) = torch.autograd.grad(margin(network(point), labels).sum(), point)
        x_adv = wide.project(x_adv.add(wide.steepest(grad), alpha=2.5 * wide.eps / _CLIMB), x)
    return x_adv.detach()


@torch.enable_grad()
def _train(network: Distilled, points: Pairs, steps: int, seed: int) -> None:
    """Adam on the cross-entropy with the model's class and on its logits, standardised."""
    centred = points.y - points.y.mean(1, keepdim=True)
    targets, labels = centred / centred.std().clamp_min(1e-12), points.y.argmax(1)
    generator = torch.Generator().manual_seed(seed % 2**63)
    order = torch.randint(len(labels), (steps, min(_BATCH, len(labels))), generator=generator)
    optimizer = torch.optim.Adam(network.requires_grad_(True).parameters(), _LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    for rows in order.to(targets.device):
        logits = network(points.x[rows])
        loss = F.cross_entropy(logits, labels[rows]) + F.mse_loss(logits / _SHARPNESS, targets[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    network.requires_grad_(False)


def neighbours(x: Tensor, draws: Draws, threat: Threat, count: int) -> Tensor:
    """Random points of the balls of some images, at least `count`, `(m, c, h, w)`."""
    times = math.ceil(count / len(x))
    return torch.cat([threat.random_point(x, draws.stream(f"neighbour {number}")) for number in range(times)])
