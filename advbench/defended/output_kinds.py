"""What a network's numbers are where they are no logits of two classes or more: one number, probabilities."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.own_precision import in_float32
from advbench.errors import ModelError

Kind = Literal["probabilities", "logit", "probability"]
"""`(n, k)` probabilities; of two classes the second one's logit or probability, `(n, 1)` or `(n,)`."""

PROBABILITIES: Final = "probabilities"

_SUM: Final = 1e-2
"""How far a sum of probabilities in 16 bits may lie from 1."""

_LEAST: Final = torch.finfo(torch.float32).tiny


class _Reading(NamedTuple):
    """How numbers of one kind become logits."""

    words: str
    """What the table says."""
    logits: Callable[[Tensor], Tensor]


class ReadAs(nn.Module):
    """A network whose numbers are of another kind than logits, as logits `(n, k)`.

    Args:
        network: pixels to numbers of that kind.
        kind: which.
    """

    def __init__(self, network: nn.Module, kind: Kind) -> None:
        super().__init__()
        self.network = network
        self.kind = kind
        self.as_they_are = False
        """Whether the numbers are handed on, for defenses behind the model that expect them so."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`.

        Raises:
            ModelError: probabilities outside [0, 1], so that they are none.
        """
        numbers = in_float32(self.network(x))
        return numbers if self.as_they_are else _READINGS[self.kind].logits(numbers)


def kind_of(output: Tensor, count: int) -> Kind | None:
    """What numbers are, as far as they themselves show it; None for logits, and for what is no answer.

    Args:
        output: of a network, for several different images.
        count: how many images.
    """
    if not output.is_floating_point() or len(output) != count or not bool(output.isfinite().all()):
        return None
    inside = bool(((output >= 0.0) & (output <= 1.0)).all())
    if output.dim() == 1 or (output.dim() == 2 and output.shape[1] == 1):
        return "probability" if inside else "logit"
    if output.dim() != 2 or not inside or bool(((output == 0.0) | (output == 1.0)).all()):
        return None  # one-hot answers are labels, which have no logarithm to follow
    return "probabilities" if bool(((output.float().sum(1) - 1.0).abs() < _SUM).all()) else None


def reading_of(model: nn.Module) -> str:
    """What a model's numbers are taken for, as `kind_of` calls it; empty where they are logits."""
    kinds = (
        str(module.kind)
        for module in model.modules()
        if isinstance(module, ReadAs) and not module.as_they_are
    )
    return next(kinds, "")


def hand_on_probabilities(model: nn.Module) -> bool:
    """Have a model that returns probabilities hand them on as they are; whether it does."""
    readings = [
        module for module in model.modules() if isinstance(module, ReadAs) and module.kind == PROBABILITIES
    ]
    for reading in readings:
        reading.as_they_are = True
    return bool(readings)


HANDED_ON: Final = "the model returns probabilities, and what stands at its logits is given them as they are"


def words_of(kind: Kind) -> str:
    """What the table says of such numbers."""
    return _READINGS[kind].words


def _of_probabilities(p: Tensor) -> Tensor:
    """`log p`, whose cross-entropy `-log p_y` has the gradient of the logits' own: it does not saturate."""
    _check(p, "probabilities")
    return p.clamp(min=_LEAST).log()


def _of_logit(z: Tensor) -> Tensor:
    z = z.reshape(-1, 1)
    return torch.cat([torch.zeros_like(z), z], dim=1)


def _of_probability(p: Tensor) -> Tensor:
    _check(p, "a probability")
    p = p.reshape(-1, 1)
    return torch.cat([1.0 - p, p], dim=1).clamp(min=_LEAST).log()


def _check(p: Tensor, what: str) -> None:
    if bool(((p < -_SUM) | (p > 1.0 + _SUM)).any()):
        raise ModelError(
            f"the model's numbers were taken for {what}, since all lay in [0, 1], and now one does not: they "
            "are scores. Return logits (n, k); torch.cat([torch.zeros_like(z), z], 1) for one logit z (n, 1)."
        )


_READINGS: Final[dict[Kind, _Reading]] = {
    "probabilities": _Reading(
        "the model returns probabilities: attacks and records see their logarithms, which decide the same",
        _of_probabilities,
    ),
    "logit": _Reading(
        "the model returns one number an image, read as the logit z of the second of two classes: it is "
        "predicted where z > 0",
        _of_logit,
    ),
    "probability": _Reading(
        "the model returns one number an image, all in [0, 1], read as the probability p of the second of "
        "two classes: it is predicted where p > 0.5",
        _of_probability,
    ),
}
