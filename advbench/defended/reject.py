"""Classifiers that refuse by themselves: by a class more than there are labels, or by logits that are NaN."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from advbench.errors import DefenseError, ModelError

_NO_CLASS: Final = "the model's outputs {} have no class {} that could refuse."

OUTPUTS: Final = "outputs"
"""The place behind a network whose outputs hold a refusal, before that is taken away."""


class WithoutRefusal(nn.Module):
    """The classifier inside a network that may refuse: its logits without those of the class that does.

    Args:
        network: pixels `(n, c, h, w)` to logits `(n, k + 1)`.
        reject: which output refuses; None for a network that answers NaN, which is handed on.
    """

    def __init__(self, network: nn.Module, reject: int | None) -> None:
        super().__init__()
        self.network = network
        self.reject = reject

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`.

        Raises:
            ModelError: there is no such output.
        """
        logits: Tensor = self.network(x)
        if self.reject is None:
            return logits
        if logits.dim() != 2 or self.reject >= logits.shape[1]:
            raise ModelError(_NO_CLASS.format(tuple(logits.shape), self.reject))
        return torch.cat([logits[:, : self.reject], logits[:, self.reject + 1 :]], dim=1)


@dataclass(frozen=True)
class RejectClass:
    """`z_r - max_{j != r} z_j`: above 0 where the class that refuses is predicted.

    Args:
        reject: which output refuses.
    """

    threshold: ClassVar[float] = 0.0

    reject: int

    def __call__(self, logits: Tensor) -> Tensor:
        """Scores, `(n,)`, of a network's outputs `(n, k + 1)`.

        Raises:
            DefenseError: there is no such output.
        """
        if logits.dim() != 2 or self.reject >= logits.shape[1]:
            raise DefenseError(_NO_CLASS.format(tuple(logits.shape), self.reject))
        others = torch.cat([logits[:, : self.reject], logits[:, self.reject + 1 :]], dim=1)
        return logits[:, self.reject] - others.amax(1)


@dataclass(frozen=True)
class RejectNaN:
    """1 where a logit is NaN, and -1 elsewhere."""

    threshold: ClassVar[float] = 0.0

    def __call__(self, logits: Tensor) -> Tensor:
        """Scores, `(n,)`, of a network's outputs `(n, k)`."""
        return logits.isnan().any(1).to(logits.dtype).mul(2.0).sub(1.0)
