"""What several members of an ensemble come to: their votes, their mean, or the word of one picked at random.

All three stand where the members' logits stand side by side (`advbench.Members`), and give every member the
same logits, whose mean the ensemble then returns.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import DefenseError, SpecError
from advbench.results.statistics import mcnemar_exact

_PLACE = "members"


@dataclass(frozen=True, kw_only=True)
class EnsembleVote:
    """Each member votes for its class, and the votes of a class are its logit.

    Of classes with as many votes the first is the label, as of equal logits anywhere here. A member whose
    logits hold a NaN does not vote; where none votes the logits are NaN, which is no class.

    The votes are steps, without a derivative. In their place: `mean-softmax`, the votes that the members
    would give if each split its own by its probabilities, or `mean-logits`, which has a gradient where these
    saturate.

    With `alpha` the vote abstains where the first class is not surely ahead of the second, and gives NaN: the
    `PREDICT` of Cohen, Rosenfeld, Kolter 2019, "Certified adversarial robustness via randomized smoothing",
    figure 1, on the votes of noisy copies (`advbench.smoothed`). An abstention is no adversarial example, and
    no right answer to a clean image. Attacks are shown the votes without the test, since one that abstained
    would tell them nothing.

    Args:
        alpha: the vote stands where the exact two-sided binomial test rejects at this level that the votes of
            the two first classes are tosses of a fair coin; 1 for a vote that never abstains.

    Raises:
        SpecError: a level that is none.
        DefenseError: something else than logits side by side, `(n, members, k)`.
    """

    place: ClassVar[str] = _PLACE
    substitutes: ClassVar[tuple[str, ...]] = ("mean-softmax", "mean-logits")

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha <= 1.0:
            raise SpecError(f"ensemble-vote: alpha must lie in (0, 1], got {self.alpha:g}.")

    @property
    def abstains(self) -> bool:
        """Whether the vote may give no class."""
        return self.alpha < 1.0

    def without_abstaining(self) -> "EnsembleVote":
        """The same votes, without the test."""
        return EnsembleVote()

    def __call__(self, x: Tensor) -> Tensor:
        """Votes for each class, once for each member, `(n, members, k)`."""
        _check_members(x, "ensemble-vote")
        votes = F.one_hot(x.argmax(2), x.shape[2]).to(x.dtype)
        silent = x.isnan().any(2, keepdim=True)
        counts = votes.masked_fill(silent, 0.0).sum(1)
        counts = counts.masked_fill(silent.all(1), torch.nan)
        if self.abstains:
            counts = counts.masked_fill(self._undecided(counts).unsqueeze(1), torch.nan)
        return _for_each(counts, x)

    def _undecided(self, counts: Tensor) -> Tensor:
        """Where the two first classes may have as many votes by chance, `(n,)` bool."""
        leading = counts.nan_to_num().sort(1, descending=True).values[:, :2].long().tolist()
        undecided = [_by_chance(first, second) > self.alpha for first, second in leading]
        return torch.tensor(undecided, dtype=torch.bool, device=counts.device)

    def mean_softmax(self, x: Tensor) -> Tensor:
        """The sum of the members' probabilities: votes that are split."""
        return _for_each(F.softmax(_wide(x), dim=2).sum(1).to(x.dtype), x)

    def mean_logits(self, x: Tensor) -> Tensor:
        """The mean of the members' logits."""
        return _for_each(_mean(x), x)


@dataclass(frozen=True, kw_only=True)
class EnsembleMean:
    """The mean of the members' probabilities, as the logarithms whose softmax it is.

    Raises:
        DefenseError: something else than logits side by side, `(n, members, k)`.
    """

    place: ClassVar[str] = _PLACE
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("exact",)

    def __call__(self, x: Tensor) -> Tensor:
        """Logarithms of the mean probabilities, once for each member, `(n, members, k)`."""
        _check_members(x, "ensemble-mean")
        summed = F.log_softmax(_wide(x), dim=2).logsumexp(1)
        return _for_each((summed - math.log(x.shape[1])).to(x.dtype), x)


@dataclass(frozen=True, kw_only=True)
class EnsemblePick:
    """The logits of one member, picked for each image by its own draw.

    Raises:
        DefenseError: something else than logits side by side, `(n, members, k)`.
    """

    place: ClassVar[str] = _PLACE
    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("exact", "mean-logits")

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Logits of the member that is picked, once for each member, `(n, members, k)`."""
        _check_members(x, "ensemble-pick")
        picked = (draws.stream("member").uniform(()) * x.shape[1]).long()
        return _for_each(x[torch.arange(len(x), device=x.device), picked], x)

    def mean_logits(self, x: Tensor, draws: Draws) -> Tensor:  # noqa: ARG002  # whoever is picked
        """The mean of the members' logits, whoever is picked."""
        return _for_each(_mean(x), x)


@lru_cache(maxsize=4096)
def _by_chance(first: int, second: int) -> float:
    """The exact two-sided binomial p of so many tosses of a fair coin on either side, as McNemar's is."""
    return mcnemar_exact(first, second)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _mean(x: Tensor) -> Tensor:
    return _wide(x).mean(1).to(x.dtype)


def _for_each(logits: Tensor, x: Tensor) -> Tensor:
    """The same logits `(n, k)` for every member of `x`."""
    return logits.unsqueeze(1).expand_as(x).contiguous()


def _check_members(x: Tensor, name: str) -> None:
    if x.dim() != 3:
        raise DefenseError(
            f"{name} needs the logits of an ensemble side by side (n, members, k), got {tuple(x.shape)}: "
            f"place it at {_PLACE!r} of a model with --member, or of advbench.Members([...])."
        )
