"""What can stand in for a defense in BPDA's backward pass, by name.

A defense lists the names of its sensible substitutes, the best known first, as `substitutes`, and has a
method for each of its own, with '-' as '_'. What a method takes by keyword is written behind its name,
`surrogate:steps=5`, and checked beforehand by a method `check_surrogate`, if there is one. General ones need
no method:

    identity            the gradient passes through; for defenses that keep the shape
    exact               the defense itself under autograd
    smooth              an average pool of 3x3, where the defense has none of its own
    learned             a small network fitted to the defense (`advbench.defended.learned`)
    finite-difference   differences of the defense along random directions (see `finite_difference.py`)
    skip                the gradient of what is behind the defense, at the defended point

`skip` is the gradient of the undefended model at the defended point. Where the defense keeps the shape, that
*is* what `identity` gives; where it does not, the transpose of resizing brings it to the input's shape.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.defended.backward import BPDA, Map, identity, name_of
from advbench.defended.borders import extended
from advbench.defended.finite_difference import FiniteDifference
from advbench.draws.draws import Draws
from advbench.draws.sampling import drawn, is_random, under_draws
from advbench.errors import DefenseError, SpecError, first_line, nearest, ran_out_of_memory
from advbench.names.grammar import Spec, parse_spec
from advbench.names.registry import converted, parameters
from advbench.names.user_code import load_object, names_user_code

LEARNED: Final = "learned"
GENERAL: Final = ("identity", "exact", "smooth", LEARNED, "finite-difference", "skip")
UNLISTED: Final = ("identity", "smooth", LEARNED)
"""What a search tries for a defense that lists nothing."""

Element = str | Map
"""What stands in for one element of a chain; a network that is still to be fitted is `LEARNED`."""


@dataclass(frozen=True)
class Substitute:
    """A substitute that was made for one defense.

    Args:
        name: as tables call it.
        function: `s(x, draws)`; draws are None where the defense is not random.
        random: whether it gets the draws that the defense's forward pass had.
        is_defense: whether it is the defense itself, which under autograd keeps no more than without.
    """

    name: str
    function: Callable[[Tensor, Draws | None], Tensor]
    random: bool = False
    is_defense: bool = False

    @property
    def __name__(self) -> str:
        """What messages and tables call it."""
        return self.name

    def __call__(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """The stand-in's output, in the shape of the defense's."""
        return self.function(x, draws)


def make_substitute(name: str, defense: Map) -> Map:
    """The substitute called `name` of a defense; `learned` needs images: `learned.py` makes it.

    Args:
        name: one of the defense's own, a general one, or `package.module:function`, `file.py:function`.
        defense: what it is to stand in for.

    Raises:
        SpecError: no such substitute.
        InputError: a function that cannot be imported.
    """
    defense = unwrapped(defense)
    random = is_random(defense)
    if names_user_code(_spec_of(name).name):
        function = load_object(name)
        if not callable(function):
            raise SpecError(f"substitute {name!r} is no function on a batch of tensors.")
        return Substitute(name, UserFunction(function), is_random(function))
    own = _own_method(name, defense)
    if own is not None:
        return Substitute(name, partial(_with_draws, own, random), random)
    if name == "identity":
        return identity
    general: dict[str, Callable[[Tensor, Draws | None], Tensor]] = {
        "exact": Exact(defense),
        "smooth": lambda x, _: average_pool(x),
        "finite-difference": partial(_estimated, defense),
        "skip": Skip(defense),
    }
    if name not in general:
        known = dict.fromkeys([*own_substitutes(defense), *GENERAL])
        raise SpecError(f"{name_of(defense)} has no substitute {name!r}. {nearest(name, known)}")
    is_defense = name == "exact" and getattr(defense, "recomputes", False) is True
    return Substitute(name, general[name], random, is_defense)


def element_name(element: Element) -> str:
    """What tables call it."""
    return element if isinstance(element, str) else name_of(element)


def listed(defense: Map) -> tuple[str, ...]:
    """The names of the substitutes that a defense lists, the best known first; empty where it lists none."""
    return tuple(getattr(unwrapped(defense), "substitutes", ()))


def own_substitutes(defense: Map) -> tuple[str, ...]:
    """The names of the substitutes that a defense has a method for."""
    names = dict.fromkeys([*(_spec_of(name).name for name in listed(defense)), "smooth", "soft"])
    return tuple(name for name in names if callable(getattr(defense, name.replace("-", "_"), None)))


def _own_method(name: str, defense: Map) -> Callable[..., Tensor] | None:
    """The method of a defense that a name with its parameters stands for; None where it has none.

    Raises:
        SpecError: parameters that it does not have, or that it refuses.
    """
    spec = _spec_of(name)
    if spec.name not in own_substitutes(defense):
        return None
    method: Callable[..., Tensor] = getattr(defense, spec.name.replace("-", "_"))
    known = parameters(method)
    known = {key: known[key] for key in known if key not in ("x", "draws")}
    given = converted(spec, known, "substitute")
    needed = [key for key in known if known[key].default is inspect.Parameter.empty and key not in given]
    if needed:
        raise SpecError(f"substitute {spec.name!r} needs {needed[0]}: {spec.name}:{needed[0]}=...")
    check = getattr(defense, f"check_{spec.name.replace('-', '_')}", None)
    if check is not None:
        check(**given)
    return partial(method, **given) if given else method


def _spec_of(name: str) -> Spec:
    """A substitute's name and its parameters; what has none, such as a path of the user's, is all name."""
    return parse_spec(name) if _WITH_PARAMETERS.match(name) else Spec(name)


_WITH_PARAMETERS: Final = re.compile(r"[\w-]+:\s*[\w-]+\s*=")


def unwrapped(defense: Map) -> Map:
    """The defense itself where the user has wrapped it with BPDA."""
    return defense.defense if isinstance(defense, BPDA) else defense


def average_pool(x: Tensor, size: int = 3) -> Tensor:
    """The mean of each pixel's window of `size` x `size`, mirrored at the borders; `(n, c, h, w)`.

    Where a window has no middle it reaches further up and left, as in SciPy. The substitute of Athalye,
    Carlini, Wagner 2018 and of Tramer et al. 2020 for whatever smooths an image: it keeps low frequencies,
    which such a defense lets through, and drops high ones, which it does not.

    Raises:
        DefenseError: no images.
    """
    if x.dim() != 4:
        raise DefenseError(f"substitute 'smooth' needs images (n, c, h, w), got {tuple(x.shape)}.")
    wide = extended(x.to(torch.promote_types(x.dtype, torch.float32)), size // 2, (size - 1) // 2, twice=True)
    return F.avg_pool2d(wide, size, stride=1).to(x.dtype)


def resized(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`x` `(n, c, h, w)` as `(n, *shape)`, bilinear in space, channels repeated; as it is where that fits.

    Raises:
        DefenseError: shapes that are not those of images, or channels that do not repeat.
    """
    if tuple(x.shape[1:]) == shape:
        return x
    if x.dim() != 4 or len(shape) != 3 or shape[0] % x.shape[1]:
        raise DefenseError(f"no resizing makes {shape} of {tuple(x.shape[1:])}; name another substitute.")
    wide = x.repeat_interleave(shape[0] // x.shape[1], dim=1)
    return F.interpolate(wide, size=shape[1:], mode="bilinear", antialias=True)


@dataclass(frozen=True)
class Skip:
    """The input, resized to the defense's output.

    Args:
        defense: whose output's shape is wanted; it is asked once for each shape of input.
        shapes: those known.
    """

    defense: Map
    shapes: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, x: Tensor, draws: Draws | None) -> Tensor:
        """`x` in the shape of the defense's output."""
        shape = tuple(x.shape[1:])
        if shape not in self.shapes:
            with torch.no_grad():
                self.shapes[shape] = tuple(drawn(self.defense, draws)(x.detach().clone()).shape[1:])
        return resized(x, self.shapes[shape])


@dataclass(frozen=True)
class Exact:
    """The defense itself under autograd.

    Args:
        defense: whose gradient is wanted.
        proved: whether it was looked at; empty until the first images that are differentiated.
    """

    defense: Map
    proved: list[bool] = field(default_factory=list)

    def __call__(self, x: Tensor, draws: Draws | None) -> Tensor:
        """What the defense returns, with its graph.

        Raises:
            DefenseError: it has no gradient: it leaves autograd, or its gradient is zero for every pixel of
                the first images. One version of a library may cut the graph where another keeps it.
        """
        try:
            y: Any = drawn(self.defense, draws)(x.clone())  # a user's defense may return anything
        except RuntimeError as error:
            if ran_out_of_memory(error):
                raise
            raise DefenseError(f"{self._none}, it leaves autograd: {first_line(error)}") from error
        if isinstance(y, Tensor) and not self.proved and torch.is_grad_enabled() and x.requires_grad:
            if not y.requires_grad:
                raise DefenseError(f"{self._none}, it leaves autograd: its output is cut off from its input.")
            if not _moves(y, x):
                raise DefenseError(f"{self._none}: it is zero for all pixels of the first {len(x)} images.")
            self.proved.append(True)
        return y  # type: ignore[no-any-return]  # whoever asked checks it

    @property
    def _none(self) -> str:
        return f"{name_of(self.defense)} has no exact gradient"


def _moves(y: Tensor, x: Tensor) -> bool:
    """Whether any of `x` has a gradient; seen along weights of which no two are the same."""
    weights = torch.arange(1.0, y.numel() + 1.0, device=y.device).cos().view_as(y).to(y.dtype)
    grads: Any = torch.autograd.grad(y, x, weights, retain_graph=True, allow_unused=True)
    return any(grad is not None and bool((grad != 0.0).any()) for grad in grads)


@dataclass(frozen=True)
class UserFunction:
    """A substitute of the user's own.

    Args:
        function: `s(x)` or, with an attribute `random`, `s(x, draws)`.
    """

    function: Map

    def __call__(self, x: Tensor, draws: Draws | None) -> Tensor:
        """What it returns."""
        return drawn(self.function, draws)(x)


def _with_draws(method: Callable[..., Tensor], random: bool, x: Tensor, draws: Draws | None) -> Tensor:
    return under_draws(method, draws)(x) if random else method(x)


def _estimated(defense: Map, x: Tensor, draws: Draws | None) -> Tensor:
    return FiniteDifference()(drawn(defense, draws), x)
