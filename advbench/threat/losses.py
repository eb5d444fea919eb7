"""Losses that attacks maximise, an image at a time.

Each takes logits `(n, k)` and returns `(n,)`; sums over the batch are left to the caller, so that the scale
of a gradient does not depend on the batch.
"""

from collections.abc import Callable
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LossName = Literal["ce", "margin", "dlr", "logit-difference"]


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """`-log softmax(z)_c`: grows away from class `c`, `(n,)`."""
    return F.cross_entropy(logits, classes, reduction="none")


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """`max_{j != c} z_j - z_c`: positive where class `c` is not predicted, `(n,)`.

    Carlini, Wagner 2017, section V-A, f6, without its clamp.
    """
    return without(logits, classes).amax(1) - pick(logits, classes)


def logit_difference(logits: Tensor, classes: Tensor, rivals: Tensor) -> Tensor:
    """`z_t - z_c` for a rival `t` that stays fixed along the attack, `(n,)` (Gowal et al. 2019, eq. 4)."""
    return pick(logits, rivals) - pick(logits, classes)


def dlr(logits: Tensor, classes: Tensor) -> Tensor:
    """Difference of logits ratio, `(max_{j != c} z_j - z_c) / (z_(1) - z_(3))`, `(n,)`; z_(i) is the i-th.

    Croce, Hein 2020, eq. 6. It does not change when logits are shifted or scaled, as cross-entropy does,
    which saturates. With two classes there is no third logit, and it is the margin.
    """
    if logits.shape[1] < 3:
        return margin(logits, classes)
    ordered = logits.topk(3, dim=1).values
    return margin(logits, classes) / (ordered[:, 0] - ordered[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, classes: Tensor, rivals: Tensor) -> Tensor:
    """`(z_t - z_c) / (z_(1) - (z_(3) + z_(4)) / 2)` for a rival `t` that stays fixed, `(n,)`.

    Croce, Hein 2020, eq. 7. It needs four classes. With three, z_(3) alone stands in the denominator; with
    two it is the difference of the logits.
    """
    difference = logit_difference(logits, classes, rivals)
    if logits.shape[1] < 3:
        return difference
    ordered = logits.topk(min(4, logits.shape[1]), dim=1).values
    return difference / (ordered[:, 0] - ordered[:, 2:].mean(1) + _TINY)


_TINY = 1e-12  # keeps equal logits from dividing by zero

AGAINST_A_CLASS: Final[dict[LossName, Callable[[Tensor, Tensor], Tensor]]] = {
    "ce": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}
"""Losses of one class: maximised for the label, minimised for a target."""


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class an image, `(n,)`."""
    return logits.gather(1, classes.view(-1, 1)).squeeze(1)


def without(logits: Tensor, classes: Tensor) -> Tensor:
    """The logits with one class an image set to -inf, `(n, k)`."""
    return logits.scatter(1, classes.view(-1, 1), -torch.inf)
