"""A small network fitted to a defense, to stand in for it in the backward pass.

Athalye, Carlini, Wagner 2018, section 4.1: any differentiable approximation of `g` will do. The network is
fitted on pairs of what the defense was given and what it made of it, and never sees a label or the
classifier's loss.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from advbench.defended.fitted_network import Fitted
from advbench.defended.learned_head import HeadImitation
from advbench.defended.substitutes import LEARNED, resized
from advbench.draws.draws import Draws
from advbench.draws.generators import seeded
from advbench.errors import DefenseError
from advbench.threat.threat import Threat

STEPS: Final = 400
PAIRS: Final = 1024
_BATCH: Final = 32
_LEARNING_RATE: Final = 3e-3
_PIXELS: Final = 1 << 16  # of a batch
_MOST: Final = 1 << 28  # bytes of pairs

Seen = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images to what the defense is given and what it makes of it."""


Kind = TypeVar("Kind", bound=Fitted)


class Imitation(Fitted):
    """`s(x) = r(x) + scale * n(x / scale)`: `r` resizes, `n` convolves or, on vectors, is dense.

    Args:
        before: shape of an input, `(c, h, w)` or `(d,)`.
        after: shape of an output.
    """

    scale: Tensor

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        super().__init__(before, after)
        self.images = len(before) == len(after) == 3 and after[0] % before[0] == 0
        if self.images:
            c, width = after[0], max(16, min(64, after[0]))
            self.network = nn.Sequential(
                nn.Conv2d(c, width, 5, padding=2),
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(width, c, 3, padding=1),
            )
        else:
            self.network = nn.Sequential(
                nn.Flatten(),
                nn.Linear(math.prod(before), 128),
                nn.GELU(),
                nn.Linear(128, math.prod(after)),
                nn.Unflatten(1, after),
            )
        self.register_buffer("scale", torch.ones(()))

    @property
    def __name__(self) -> str:
        """What tables call it."""
        return LEARNED

    def forward(self, x: Tensor) -> Tensor:
        """The imitated output, `(n, *after)`."""
        x = x.to(self.scale.dtype)
        base: Tensor | float = 0.0
        if self.images:
            x = base = resized(x, self.after)
        elif tuple(x.shape[1:]) == self.after:
            base = x
        y: Tensor = base + self.scale * self.network(x / self.scale)
        return y


class Pairs(NamedTuple):
    """What a defense was given and what it made of it, `(m, ...)` each."""

    x: Tensor
    y: Tensor


def pairs_of(seen: Seen, x: Tensor, draws: Draws, threat: Threat, count: int = PAIRS) -> Pairs:
    """Pairs to fit a network on, of images moved to random points of balls up to the threat's.

    Args:
        seen: runs the defended model on images, and says what the defense met.
        x: the run's images, `(n, c, h, w)`; no labels are needed.
        draws: their streams.
        threat: how far an attack may move them.
        count: how many pairs at least, where memory allows.
    """
    batch_pairs: list[Pairs] = []
    for number in range(math.ceil(count / len(x))):
        stream = draws.stream(number)
        radius = stream.stream("radius").uniform((1,) * (x.dim() - 1)).to(x)
        moved = x + radius * (threat.random_point(x, stream) - x)
        batch_pairs += [Pairs(*seen(part)) for part in torch.split(moved, _BATCH)]
        if sum(tensor.numel() * tensor.element_size() for pair in batch_pairs for tensor in pair) > _MOST:
            break
    return Pairs(*(torch.cat(tensors) for tensors in zip(*batch_pairs, strict=True)))


def fitted(pairs: Pairs, seed: int) -> Imitation:
    """A network that imitates a defense, by Adam on the squared error; its seed decides it.

    Args:
        pairs: inputs and outputs of the defense.
        seed: of its initial weights and of the order of the pairs.

    Raises:
        DefenseError: outputs that are not finite.
    """
    x, y = (side.detach().float() for side in pairs)
    if not bool(y.isfinite().all()):
        raise DefenseError("a network cannot be fitted to a defense whose output is NaN or infinite.")
    with seeded(seed % 2**32, x.device):
        network = Imitation(tuple(x.shape[1:]), tuple(y.shape[1:])).to(x.device)
        network.scale.fill_(max(float(x.std()), 1e-6))
        order = torch.randint(len(x), (STEPS, _batch(x)))
    _train(network, Pairs(x, y), order.to(x.device))
    return network.eval().requires_grad_(False)


def _batch(x: Tensor) -> int:
    pixels = max(1, math.prod(x.shape[2:]))
    return max(4, min(_BATCH, _PIXELS // pixels))


@torch.enable_grad()
def _train(network: Imitation, pairs: Pairs, order: Tensor) -> None:
    optimizer = torch.optim.Adam(network.network.parameters(), _LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=len(order))
    for rows in order:
        loss = F.mse_loss(network(pairs.x[rows]) / network.scale, pairs.y[rows] / network.scale)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()


def pack_network(network: Fitted, origin: Mapping[str, str]) -> bytes:
    """The contents of a `.safetensors` file that holds the network.

    Args:
        network: what is kept.
        origin: where it comes from, kept in the file's metadata.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    about = {"before": network.before, "after": network.after, "origin": dict(origin)}
    about |= {"kind": network.kind} if network.kind else {}
    return safetensors.torch.save(state, {name: json.dumps(fact) for name, fact in about.items()})


def read_network(contents: bytes, device: torch.device) -> Imitation | HeadImitation | None:
    """The network of such a file; None where it is damaged."""
    kinds: tuple[type[Imitation | HeadImitation], ...] = (Imitation, HeadImitation)
    return read_fitted(contents, device, *kinds)


def read_fitted(contents: bytes, device: torch.device, *kinds: type[Kind]) -> Kind | None:
    """A fitted network out of its file; None where it is damaged, or of another kind.

    Args:
        contents: of the file.
        device: where it goes.
        kinds: what it may be.
    """
    try:
        state = safetensors.torch.load(contents)
        header = json.loads(contents[8 : 8 + int.from_bytes(contents[:8], "little")])["__metadata__"]
        before, after = (tuple(map(int, json.loads(header[name]))) for name in ("before", "after"))
        named = {kind.kind: kind for kind in kinds}
        kind = named[json.loads(header.get("kind", '""'))]
        with torch.device("meta"):  # takes no memory, whatever sizes a forged file tells
            network = kind(before, after)
        network.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError):
        return None
    if {tensor.dtype for tensor in state.values()} != {torch.float32}:
        return None
    return network.to(device).eval().requires_grad_(False)
