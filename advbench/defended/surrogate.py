"""A differentiable model that stands in for a whole classifier in the backward pass.

BPDA whose place is the whole network (Athalye, Carlini, Wagner 2018, section 4.1): the classifier decides and
is judged, the surrogate is differentiated. It gives a gradient to what has none: votes, nearest neighbours,
trees, hard labels, a forward pass under `no_grad`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.defended.backward import BPDA, TrueGradient, name_of
from advbench.defended.softened import Softened
from advbench.errors import ModelError
from advbench.results.surrogates import SOFT_STEPS
from advbench.threat.judge import predict

DISTILLED: Final = "distill"
"""The surrogate that a run fits itself."""

MADE_BY_RUNS: Final = (DISTILLED, SOFT_STEPS)
"""Surrogates that a run makes of the model itself, by name."""


@dataclass(frozen=True)
class Surrogate:
    """What is differentiated in place of a model.

    Args:
        name: what tables call it.
        network: pixels in [0, 1] `(n, c, h, w)` to logits `(n, k)`; None for one that the run is to make of
            the model itself.
    """

    name: str
    network: nn.Module | None

    def __post_init__(self) -> None:
        assert self.network is not None or self.name in MADE_BY_RUNS


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """What stands in for a model as a whole.

    Args:
        surrogate: what is differentiated in its place on the bpda rungs, which the undefended model then has
            too: pixels to logits, `distill` for a network that is fitted to the model, or `soft-steps` for
            the model itself with soft steps (`advbench.defended.softened`). It stands behind the defenses,
            and, but for soft steps, for those inside the model; the shattered rung keeps the model's own
            gradient, if there is one.
        source: what static examples are made on, and shown to the undefended model too: for a defense inside
            the model, the network without it. By default the surrogate, without one the undefended model.
        without_static: whether the static rung was left out on purpose.
    """

    surrogate: "Surrogate | Callable[[Tensor], Tensor] | str | None" = None
    source: "Surrogate | Callable[[Tensor], Tensor] | None" = None
    without_static: bool = False

    @property
    def named(self) -> "tuple[Surrogate | None, Surrogate | None]":
        """The surrogate and the source by their names; None for what is not given."""
        given = self.surrogate, self.source
        first, second = (None if one is None else surrogate_named(one) for one in given)
        return first, second


NO_STAND_INS: Final = StandIns()


class Function(nn.Module):
    """A function of the caller's as a module.

    Args:
        function: pixels `(n, c, h, w)` to logits `(n, k)`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        return self.function(x)


def surrogate_named(given: "Surrogate | Callable[[Tensor], Tensor] | str") -> Surrogate:
    """A surrogate as callers may give it: `distill`, `soft-steps`, or a module or a function by its own name.

    Raises:
        ModelError: none of these.
    """
    if isinstance(given, Surrogate):
        return given
    if isinstance(given, str) and given in MADE_BY_RUNS:
        return Surrogate(given, None)
    if isinstance(given, str) or not callable(given):
        raise ModelError(
            f"a surrogate must be a module, a function, {DISTILLED!r} or {SOFT_STEPS!r}, got {given!r:.60}."
        )
    return Surrogate(name_of(given), given if isinstance(given, nn.Module) else Function(given))


class Stepwise(nn.Module):
    """A model whose outputs move in steps, as an attack along a surrogate sees it: `(n, k)` logits.

    They are the surrogate's, in which the class that the model decides for is raised above all others:

        z = s(x),   z_c <- max_j z_j + margin   where   c = argmax f(x) != argmax z

    Of votes and labels the loss is the same over wide ranges and its derivative saturates, so that neither
    tells an attack which iterate is better; their decision is all that they say, and it is kept. Differs so
    from BPDA, whose forward pass is `f(x)`: where a network of digits gives 100 times the one-hot label, PGD
    along that network's own logits leaves 53 of 100 images with `f(x)` and 27 with these logits, which is
    what it leaves of the network itself.

    Args:
        model: `f`, which decides; it may leave autograd.
        surrogate: `s`.
    """

    def __init__(self, model: nn.Module, surrogate: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.surrogate = surrogate

    def forward(self, x: Tensor) -> Tensor:
        """The surrogate's logits with the model's decision; NaN where the model decides nothing."""
        with torch.no_grad():
            decided = predict(self.model(x.detach().clone()))
        logits: Tensor = self.surrogate(x)
        nowhere = decided < 0
        decided = decided.clamp_min(0)
        top = logits.detach().amax(1)
        own = logits.detach().gather(1, decided[:, None])[:, 0]
        differs = logits.detach().argmax(1) != decided
        raised = (top - own + _MARGIN * (1.0 + top.abs())) * differs
        mixed = logits + F.one_hot(decided, logits.shape[1]).to(logits.dtype) * raised[:, None]
        return torch.where(nowhere[:, None], torch.nan, mixed)


_MARGIN: Final = 1e-3  # relative; any will do that float32 can tell


class AlongSurrogate(BPDA):
    """A model that is differentiated along a surrogate; its forward pass is the model's, bit for bit."""


class AlongItself(TrueGradient):
    """A model under the gradient that autograd finds in it: zero where it leaves autograd, and no error."""


UNDER_GRADIENT: Final = (Stepwise, AlongSurrogate, AlongItself, Softened)
"""What wraps a model so that it is differentiated otherwise; it computes what the model does."""


def decider_of(model: nn.Module) -> nn.Module:
    """The model that decides, under what says how it is differentiated; where nothing does, the model."""
    if isinstance(model, Stepwise):
        return model.model
    if isinstance(model, Softened):
        return model.network
    if isinstance(model, AlongSurrogate | AlongItself) and isinstance(model.defense, nn.Module):
        return model.defense
    return model


def along_surrogate(model: nn.Module, surrogate: nn.Module, *, stepwise: bool) -> nn.Module:
    """A model that is differentiated along a surrogate.

    Args:
        model: decides, and is judged elsewhere.
        surrogate: pixels to logits, of the same shape as the model's. Soft steps of a network are those of
            this model, since the forward pass is the same.
        stepwise: whether the model's outputs move in steps, and tell an attack their decision alone.
    """
    if isinstance(surrogate, Softened):
        return Softened(model, surrogate.width)
    return Stepwise(model, surrogate) if stepwise else AlongSurrogate(model, surrogate)


@torch.no_grad()
def moves_in_steps(model: Callable[[Tensor], Tensor], x: Tensor, nearby: Tensor) -> bool:
    """Whether most images' outputs do not change at all between points that are next to each other.

    Args:
        model: pixels to outputs `(n, k)`.
        x: images, `(n, c, h, w)`.
        nearby: points next to them, of the same shape.
    """
    same = (model(x) == model(nearby)).all(1)
    return bool(same.float().mean() > 0.5)
