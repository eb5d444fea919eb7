"""A network fitted to a head, to stand in for it in the backward pass.

A head that decides by votes, trees or distances gives scores that are flat almost everywhere. The network is
fitted to its decisions on features near the boundaries, where an attack through the network has arrived.
"""

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.defended.fitted_network import Fitted
from advbench.defended.substitutes import LEARNED
from advbench.draws.generators import seeded
from advbench.errors import DefenseError

ENOUGH: Final = 0.9
"""The share of perturbed features on which a fitted network must agree with its head to be called one."""

_WIDTH: Final = 256
_STEPS: Final = 300
_BATCH: Final = 64
_LEARNING_RATE: Final = 3e-3
_ROUNDING: Final = 1e-3


class HeadImitation(Fitted):
    """`s(x) = softmax(W z + n(z))` of standardised features `z`, with a gradient that does not saturate.

    Args:
        before: shape of an image's features, `(d,)` or `(c, h, w)`.
        after: `(k,)`.
    """

    kind = "head"
    mean: Tensor
    spread: Tensor
    agreement: Tensor

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        super().__init__(before, after)
        d, (k,) = torch.Size(before).numel(), after
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("spread", torch.ones(d))
        self.register_buffer("agreement", torch.zeros(()))
        self.linear = nn.Linear(d, k)
        self.network = nn.Sequential(
            nn.Linear(d, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, k)
        )

    @property
    def __name__(self) -> str:
        """What tables call it."""
        return LEARNED

    @property
    def is_close(self) -> bool:
        """Whether the network decides as its head does on enough of the features that attacks reach."""
        return float(self.agreement) >= ENOUGH

    def logits(self, x: Tensor) -> Tensor:
        """Before the softmax, `(n, k)`, of features `(n, ...)`."""
        z = (x.flatten(1).to(self.mean.dtype) - self.mean) / self.spread
        logits: Tensor = self.linear(z) + self.network(z)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities, `(n, k)`, of features `(n, ...)`."""
        y: Tensor = _Unsaturated.apply(self.logits(x))
        return y


class _Unsaturated(torch.autograd.Function):
    """Softmax, whose gradient has its direction and never its size.

        dL/dz_i = c p_i sum_j p_j (g_i - g_j),   c such that sum_i |dL/dz_i| = sum_i |g_i|

    The head's own scores say which class is the label, and of the others nothing where all have no vote. The
    softmax gives these the weight that the network finds in them. Where the network is sure, `p (1 - p)` is
    nothing in float32, and an attack without `c` stands still: on a nearest-neighbour head it left 33 of 100
    images with it saturated, and 18 as it is here.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        return logits.softmax(1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (logits,) = ctx.saved_tensors
        wide = torch.float32 if logits.device.type == "mps" else torch.float64
        p, g = logits.to(wide).softmax(1), grads[0].to(wide)
        # A number added to all of `g` changes nothing; without the first class's nothing cancels out.
        g = g - g.gather(1, p.argmax(1, keepdim=True))
        through = p * (g - (p * g).sum(1, keepdim=True))
        size = through.abs().sum(1, keepdim=True).clamp_min(torch.finfo(wide).tiny)
        return (through / size * grads[0].to(wide).abs().sum(1, keepdim=True)).to(logits.dtype)


def new_imitation(features: Tensor, scores: Tensor, seed: int) -> HeadImitation:
    """A network for a head, with weights by its seed, that standardises as these features need it.

    Args:
        features: `(n, ...)`.
        scores: what the head gives of them, `(n, k)`.
        seed: of its weights.
    """
    with seeded(seed % 2**32, features.device):
        network = HeadImitation(tuple(features.shape[1:]), tuple(scores.shape[1:])).to(features.device)
    flat = features.flatten(1).float()
    network.mean.copy_(flat.mean(0))
    overall = float(flat.std()) or 1.0
    network.spread.copy_(flat.std(0, correction=0) + 0.1 * overall)
    return network


@torch.enable_grad()
def fit_to_head(network: HeadImitation, features: Tensor, scores: Tensor, seed: int) -> None:
    """Go on fitting a network to what a head decides.

    Args:
        network: is changed.
        features: `(n, ...)`.
        scores: what the head gives of them, `(n, k)`.
        seed: of the order of the pairs.

    Raises:
        DefenseError: scores that are not finite.
    """
    if not bool(scores.isfinite().all()):
        raise DefenseError("a network cannot be fitted to a head whose scores are NaN or infinite.")
    x, wanted = features.flatten(1).float(), as_decisions(scores)
    with seeded(seed % 2**32, x.device):
        order = torch.randint(len(x), (_STEPS, _BATCH)).to(x.device)
    network.requires_grad_(True)
    weights = [*network.linear.parameters(), *network.network.parameters()]
    optimizer = torch.optim.Adam(weights, _LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_STEPS)
    for rows in order:
        loss = F.cross_entropy(network.logits(x[rows]), wanted[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    network.eval().requires_grad_(False)


def as_decisions(scores: Tensor) -> Tensor:
    """What a network is fitted to: probabilities `(n, k)`, the head's own where its scores are shares.

    Else its classes alone, because nobody knows in which units a head counts. Measured on digits, images that
    stand: behind 5 nearest neighbours 17 of 100 where the network was fitted to the votes, 29 to the classes;
    behind a support vector machine 45 of 64 where it was fitted to a softmax of the scores, 8 to the classes.
    """
    wide = scores.detach().float()
    if bool((wide >= 0.0).all()) and bool(((wide.sum(1) - 1.0).abs() < _ROUNDING).all()):
        return wide / wide.sum(1, keepdim=True)
    return F.one_hot(wide.argmax(1), wide.shape[1]).float()


@torch.no_grad()
def agreement_of(network: HeadImitation, features: Tensor, scores: Tensor) -> float:
    """The share of features on which a network decides as the head does."""
    same = network.logits(features).argmax(1) == scores.argmax(1)
    return float(same.float().mean())
