"""Attacks on a model that may refuse, one label at a time: only then are its joint logits known.

To refuse is right for the images of every label, and an attack compares the logits of a label with the
others. So the refusal is joined with the label's logit (`detector.joint_logits`), and images of one label go
together. An image's result does not depend on its batch, and so not on this either.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from advbench.data.batches import Batch
from advbench.defended.attacked_as import attacked_as
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.errors import InputError
from advbench.threat.attack import Attack, Attempt
from advbench.threat.threat import Threat


def alike(batch: Batch, *, apart: bool) -> Iterator[Batch]:
    """The batch as it is, or its images of each label where these are to stay `apart`."""
    if not apart:
        yield batch
        return
    for label in torch.unique(batch.y):
        yield Batch(*(tensor[batch.y == label] for tensor in batch))


def attempted(
    attack: Attack,
    model: DefendedModel,
    images: tuple[Tensor, Tensor],
    threat: Threat,
    draws: Draws,
    *,
    name: str,
) -> Attempt:
    """What an attack makes of some images; of a model that may refuse, label after label.

    Args:
        attack: which one.
        model: as attacks see it.
        images: clean images `(n, c, h, w)` and labels `(n,)`.
        threat: what it may do.
        draws: the images' random streams.
        name: of the attack, for messages.

    Raises:
        InputError: an attack that returns something else than an attempt.
    """
    x, y = images
    if not model.detectors:
        return _checked(attack(attacked_as(attack, model, draws), x, y, threat, draws), name)
    parts, places = [], []
    for label in torch.unique(y).tolist():
        rows = (y == label).nonzero().flatten()
        streams = draws.take(rows)
        seen = attacked_as(attack, model.against(label), streams)
        of_label = attack(seen, x[rows], y[rows], threat, streams)
        parts.append(_checked(of_label, name))
        places.append(rows)
    back = torch.cat(places).argsort()
    joined: list[Any] = [_joined(column, back) for column in zip(*parts, strict=True)]
    return Attempt(*joined)


def _checked(attempt: Attempt, name: str) -> Attempt:
    if not isinstance(attempt, Attempt):
        raise InputError(
            f"attack {name} must return an advbench.Attempt, got {type(attempt).__name__}: its "
            "best iterates and what they cost."
        )
    return attempt


def _joined(parts: Sequence[Tensor | None], back: Tensor) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.cat(given)[back] if len(given) == len(parts) else None
