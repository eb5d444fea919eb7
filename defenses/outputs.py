"""What a model tells of its logits: less, or something misleading."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from advbench.errors import DefenseError, SpecError


@dataclass(frozen=True, kw_only=True)
class ReverseSigmoid:
    """Probabilities bent towards one half, as the logits whose softmax they are.

    Lee, Edwards, Molloy, Su 2018, "Defending against machine learning model stealing attacks using
    deceptive perturbations" (in its printed form of 2019 "Defending against neural network model stealing
    attacks ..."), equations 2 and 3, with `s` the sigmoid and `alpha` what makes them sum to 1:

        y' = alpha (y - r(y)),   r(y) = beta (s(gamma s^-1(y)) - 1/2)

    Where `beta * gamma < 1` a class above one half stays the label; below, the label may change. Its
    derivative exists and misleads, which is the idea: near 0 and 1, where trained networks are, `y'` falls
    as `y` rises, so that an attack that follows it makes the network surer of the label.

    Args:
        beta: magnitude, in (0, 1] so that no probability is negative.
        gamma: how fast `r` follows the logit, positive; 0.1 is the default of the adversarial robustness
            toolbox, the paper chooses it by data set.

    Raises:
        SpecError: beta or gamma outside these ranges.
        DefenseError: something else than logits `(n, k)`.
    """

    beta: float = 1.0
    gamma: float = 0.1

    substitutes: ClassVar[tuple[str, ...]] = ("identity",)

    def __post_init__(self) -> None:
        if not 0.0 < self.beta <= 1.0:
            raise SpecError(f"reverse-sigmoid: beta must lie in (0, 1], got {self.beta:g}.")
        if not 0.0 < self.gamma < float("inf"):
            raise SpecError(f"reverse-sigmoid: gamma must be positive, got {self.gamma:g}.")

    def __call__(self, x: Tensor) -> Tensor:
        """Logarithms of the perturbed probabilities, `(n, k)`, of logits `(n, k)`."""
        _check_logits(x, "reverse-sigmoid")
        wide = x.to(_precise(x))
        log_y = F.log_softmax(wide, dim=1)
        y = log_y.exp()
        inverse = log_y - _log_of_the_rest(wide, y)  # s^-1(y) = log y - log(1 - y)
        perturbed = y - self.beta * (torch.sigmoid(self.gamma * inverse) - 0.5)
        perturbed = perturbed.clamp(min=torch.finfo(wide.dtype).tiny)
        return (perturbed / perturbed.sum(1, keepdim=True)).log().to(x.dtype)


@dataclass(frozen=True, kw_only=True)
class Argmax:
    """The label alone: score 1 for the largest logit, the first one if there are several, 0 for the others.

    The hard-label setting of Brendel, Rauber, Bethge 2018, "Decision-based adversarial attacks".

    Raises:
        DefenseError: something else than logits `(n, k)`.
    """

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "soft")

    def __call__(self, x: Tensor) -> Tensor:
        """One-hot scores, `(n, k)`, of logits `(n, k)`."""
        _check_logits(x, "argmax")
        return F.one_hot(x.argmax(1), x.shape[1]).to(x.dtype)

    def soft(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        """`softmax(x / T)`, which goes to the one-hot scores as T goes to 0.

        Args:
            x: logits, `(n, k)`.
            temperature: `T`, in units of the logits, positive.
        """
        return torch.softmax(x / temperature, dim=1)


def _check_logits(x: Tensor, name: str) -> None:
    if x.ndim != 2:
        raise DefenseError(f"{name} needs logits of shape (n, k), got {tuple(x.shape)}; write {name}@logits.")


def _log_of_the_rest(x: Tensor, y: Tensor) -> Tensor:
    """`log(1 - y)` for `y = softmax(x)`, `(n, k)`, without cancellation where one class has all.

    There `1 - y` is the sum of the other probabilities, down to the smallest number that there is.
    """
    top = x.argmax(1, keepdim=True)
    others = y.scatter(1, top, 0.0).sum(1, keepdim=True).clamp(min=torch.finfo(y.dtype).tiny)
    return torch.log1p(-y.scatter(1, top, 0.0)).scatter(1, top, others.log())


def _precise(x: Tensor) -> torch.dtype:
    """Float64 where there is one: its rounding hides what vector and scalar versions of exp differ by."""
    return torch.float32 if x.device.type == "mps" else torch.float64
