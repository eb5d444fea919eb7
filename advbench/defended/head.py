"""A head: what classifies by features in the place of the rest of the network.

Nearest neighbours, prototypes, trees, support vector machines, codes: a head reads what passes a place,
`(n, d)`, and gives scores `(n, k)`, which are the defended model's logits. Most heads have no derivative.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import isclass, isroutine
from typing import Any, ClassVar, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.defended.backward import name_of
from advbench.defended.estimators import is_estimator, scores_of, unfit_reason
from advbench.defended.own_functions import MODEL, form_told, made_by, stands_for
from advbench.defended.soft_neighbours import soft_neighbours
from advbench.errors import AdvbenchError, DefenseError, first_line, ran_out_of_memory
from advbench.names.grammar import Spec

SUBSTITUTES: Final = ("learned", "finite-difference")
"""What may stand in for a head in BPDA's backward pass, beside `soft` where the head has one."""

EXACT: Final = "exact"


@dataclass(frozen=True)
class Head:
    """A classifier of features.

    Args:
        function: features `(n, d)` to scores `(n, k)`, or to whole-number labels `(n,)`; a tensor, or an
            array where its parameter is annotated so. Or a fitted estimator of scikit-learn. With `of_model`
            what makes one. What it lists as `substitutes`, and a differentiable method `soft` from
            features to scores, may stand in for it.
        classes: how many there are; only asked for where labels are given and nothing else tells.
        of_model: whether `function` is called with `model=`, the classifier, and returns the head.
        name: what messages and tables call it; by default as its function is called.

    Raises:
        DefenseError: nothing that can classify, or an estimator that was not fitted.
    """

    runs_own_code: ClassVar[bool] = True

    function: Any
    classes: int | None = None
    of_model: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if is_estimator(self.function):
            reason = unfit_reason(self.function)
            if reason:
                raise DefenseError(f"head {self.__name__} {reason}")
        elif not callable(self.function):
            raise DefenseError(
                f"a head must be a function on features or a fitted estimator, got {self.function!r:.80}."
            )

    @property
    def __name__(self) -> str:
        """What messages and tables call it."""
        inner = self.function.func if isinstance(self.function, partial) else self.function
        return self.name or name_of(inner)

    @property
    def substitutes(self) -> tuple[str, ...]:
        """What may stand in for it: what it lists itself, or else what is known for heads."""
        own = getattr(self.function, "substitutes", None)
        if own is not None:
            return tuple(own)
        soft = ("soft",) if self.soft is not None else ()
        exact = () if is_estimator(self.function) else (EXACT,)
        return (*soft, *SUBSTITUTES[:1], *exact, *SUBSTITUTES[1:])

    @property
    def soft(self) -> Callable[[Tensor], Tensor] | None:
        """The head's own differentiable version, or that of nearest neighbours; None where it has none."""
        own = getattr(self.function, "soft", None) or soft_neighbours(self.function)
        return partial(_flattened, own) if callable(own) else None

    @property
    def settings(self) -> dict[str, Any]:
        """What it is, in words and numbers, for `run.json`."""
        given: Mapping[str, Any] = self.function.keywords if isinstance(self.function, partial) else {}
        inner: Any = self.function.func if isinstance(self.function, partial) else self.function
        home = getattr(inner, "__module__", type(inner).__module__)
        return {"class": f"{home}.{name_of(inner)}", "head": True, **given}

    def bound(self, model: nn.Module) -> "Head":
        """The head of one classifier, where it needs to know which.

        Raises:
            SpecError: what makes it fails, or makes nothing that can classify.
        """
        if not self.of_model:
            return self
        made = made_by(partial(self.function, **{MODEL: model}), self.__name__, "head")
        return replace(self, function=made, of_model=False, name=self.__name__)

    def __call__(self, x: Tensor) -> Tensor:
        """Scores, `(n, k)`, of features `(n, ...)`.

        Raises:
            DefenseError: it fails, or gives neither finite scores nor labels that there are, one a row.
        """
        features = x.flatten(1)
        try:
            given = self._asked(features)
        except AdvbenchError:
            raise
        except Exception as error:  # a user's code may raise anything
            if ran_out_of_memory(error) or (features.requires_grad and isinstance(error, RuntimeError)):
                raise  # `x.numpy()` of what needs a gradient: whoever asked tries without one
            raise DefenseError(
                f"head {self.__name__} failed on features of shape {tuple(features.shape)}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error
        scores = self._as_scores(given, features)
        wrong = int((~scores.detach().isfinite().all(1)).sum())
        if wrong:
            raise DefenseError(
                f"head {self.__name__} must give finite scores, got NaN or infinity for {wrong} of {len(x)} "
                "images."
            )
        return scores

    def _asked(self, features: Tensor) -> Any:
        if is_estimator(self.function):
            return scores_of(self.function, features.detach().cpu().numpy())
        if form_told(self.function) == "array":
            return self.function(features.detach().cpu().numpy())
        return self.function(features)

    def _as_scores(self, given: Any, features: Tensor) -> Tensor:
        """What the head gave, as scores on the device of the features."""
        if isinstance(given, np.ndarray):
            given = torch.from_numpy(np.ascontiguousarray(given))
        if not isinstance(given, Tensor):
            raise DefenseError(
                f"head {self.__name__} must return a tensor or an array, got {type(given).__name__}."
            )
        n = len(features)
        if given.dim() not in (1, 2) or len(given) != n or (given.dim() == 1 and given.is_floating_point()):
            raise DefenseError(
                f"head {self.__name__} must return scores ({n}, classes) or whole-number labels ({n},) "
                f"for {n} images, got shape {tuple(given.shape)} of {given.dtype}."
            )
        if given.dim() == 1:
            given = self._one_hot(given.long(), features)
        scores: Tensor = given.to(device=features.device, dtype=features.dtype)
        return scores

    def _one_hot(self, labels: Tensor, features: Tensor) -> Tensor:
        k = self.classes or getattr(self.function, "classes", None)
        if not isinstance(k, int) or k < 1:
            raise DefenseError(
                f"head {self.__name__} gives labels: say how many classes there are, by an attribute "
                "`classes` or advbench.Head(function, classes=10)."
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < k:
            raise DefenseError(
                f"head {self.__name__} gives labels {int(labels.min())} to {int(labels.max())}, and the "
                f"classes are 0 to {k - 1}."
            )
        return F.one_hot(labels, k).to(features.dtype)


def _flattened(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return function(x.flatten(1))


def head_of(thing: Any, spec: Spec) -> Head:
    """What a user named as a head: the head itself, or what makes it, with the spec's parameters.

    A class or function with a parameter `model` makes the head of a classifier; one that can be called
    without an argument makes it; a function that needs an argument, an estimator and an object are the head.

    Raises:
        SpecError: nothing that can classify, or parameters that it does not have.
        DefenseError: an estimator that was not fitted.
    """
    ready = isinstance(thing, nn.Module | Head) or is_estimator(thing)
    is_made = ready or not (isclass(thing) or isroutine(thing))
    named = stands_for(thing, spec, "head", is_made=is_made, takes_model=True)
    if isinstance(thing, Head):
        return thing
    return Head(named.function, of_model=named.of_model, name=named.maker)
