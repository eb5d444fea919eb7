"""Defenses of researchers' own: functions on tensors, NumPy arrays or PIL images, and the contract they keep.

A defense takes a batch `(n, c, h, w)` in [0, 1] and returns as many images; it may change their shape. What
it is called with is told by a decorator (`numpy_defense`, `pil_defense`), by the type of its first parameter,
or else found out on its first call. Its contract is checked there too.
"""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from advbench.defended.backward import Map, name_of
from advbench.defended.substitutes import UNLISTED
from advbench.draws.sampling import is_random, takes_draws
from advbench.errors import AdvbenchError, DefenseError, SpecError, first_line, ran_out_of_memory
from advbench.names.grammar import Spec
from advbench.names.registry import Kind, converted, parameters, takes_more
from advbench.names.user_code import as_own_program, failure_sentence

Form = Literal["tensor", "array", "images", "pil"]
"""A tensor or an array `(n, c, h, w)`, or image by image an array `(h, w, c)` or a PIL image."""

MODEL: Final = "model"
"""The parameter of a detector's or a head's maker that is given the classifier."""

FORMS: Final[tuple[Form, ...]] = ("tensor", "array", "images", "pil")
_BEYOND: Final = 0.5  # how far pixels may leave [0, 1] before their range must be another one


@dataclass(frozen=True)
class Plugin:
    """A function of the user's own as a defense.

    Args:
        function: what it does.
        form: what it is called with; None to find out on the first call.
        substitutes: what may stand in for it, the best known first.
        random: whether it draws random numbers; a run then seeds the generators for each image.
        settled: the form that was found, and whether the contract was checked.
    """

    function: Callable[..., Any]
    form: Form | None = None
    substitutes: tuple[str, ...] = UNLISTED
    random: bool = False
    settled: list[Form] = field(default_factory=list, compare=False, repr=False)

    @property
    def __name__(self) -> str:
        """What messages and tables call it."""
        return _name(self.function)

    @property
    def settings(self) -> dict[str, Any]:
        """What it is, in words and numbers, for `run.json`."""
        inner: Any = self.function
        given = inner.keywords if isinstance(inner, partial) else {}
        inner = inner.func if isinstance(inner, partial) else inner
        home = getattr(inner, "__module__", type(inner).__module__)
        return {"class": f"{home}.{name_of(inner)}", "form": self.form, "random": self.random, **given}

    def __call__(self, x: Tensor) -> Tensor:
        """The defended batch.

        Raises:
            DefenseError: the function breaks the contract, or can be called with nothing that it was given.
        """
        if self.settled:
            return as_tensor(_call(self.function, self.settled[0], x), x)
        form = self.form or form_told(self.function)
        form, y = self._found_out(x) if form is None else (form, self._tried(form, x))
        self.settled.append(form)
        return y

    def _tried(self, form: Form, x: Tensor) -> Tensor:
        y = as_tensor(_call(self.function, form, x), x)
        _check_contract(self.__name__, y, x)
        return y

    def _found_out(self, x: Tensor) -> tuple[Form, Tensor]:
        failures = []
        for form in FORMS:
            try:
                return form, self._tried(form, x)
            except DefenseError:
                raise
            except Exception as error:  # a function that was meant for something else may raise anything
                if ran_out_of_memory(error):
                    raise
                failures.append(f"{form}: {type(error).__name__}: {first_line(error)}")
        raise DefenseError(
            f"defense {self.__name__} takes neither tensors nor arrays nor PIL images "
            f"({'; '.join(failures)}). Say what it takes: advbench.numpy_defense or advbench.pil_defense."
        )


def numpy_defense(
    function: Callable[..., Any] | None = None,
    *,
    layout: Literal["nchw", "hwc"] = "nchw",
    substitutes: tuple[str, ...] = UNLISTED,
    random: bool = False,
) -> Any:
    """Make a defense of a function on float32 arrays with pixels in [0, 1]; a decorator.

    Args:
        function: what it does.
        layout: `nchw` for a batch at a time, `hwc` for one image `(h, w, c)` at a time.
        substitutes: what may stand in for it in BPDA, the best known first.
        random: whether it draws random numbers, from NumPy's, Python's or torch's generators.
    """
    make = partial(
        Plugin, form="array" if layout == "nchw" else "images", substitutes=substitutes, random=random
    )
    return make if function is None else make(function)


def pil_defense(
    function: Callable[..., Any] | None = None,
    *,
    substitutes: tuple[str, ...] = UNLISTED,
    random: bool = False,
) -> Any:
    """Make a defense of a function from one 8-bit PIL image (grey or RGB) to another; a decorator.

    Args:
        function: what it does.
        substitutes: what may stand in for it in BPDA, the best known first.
        random: whether it draws random numbers, from NumPy's, Python's or torch's generators.
    """
    make = partial(Plugin, form="pil", substitutes=substitutes, random=random)
    return make if function is None else make(function)


def defense_of(thing: Any, spec: Spec) -> Map:
    """What a user named as a defense: the defense itself, or what makes it.

    A class, and a function that can be called without an argument, make the defense; a function that needs
    one is the defense. Either takes the spec's parameters.

    Raises:
        SpecError: nothing that can be called, or parameters that it does not have.
    """
    if not callable(thing):
        raise SpecError(f"defense {spec.name!r} is no function or class, but {type(thing).__name__}.")
    made = isinstance(thing, torch.nn.Module | Plugin) or (
        not inspect.isclass(thing) and not inspect.isroutine(thing) and not isinstance(thing, partial)
    )
    return adapted(stands_for(thing, spec, "defense", is_made=made).function)


class StandsFor(NamedTuple):
    """What a name of the user's code stands for."""

    function: Any
    """The thing itself, or what makes it of a classifier."""
    of_model: bool = False
    """Whether `function` is called with `model=`, and returns the thing."""
    maker: str = ""
    """The name of the class or function that has made it, where one has."""


def stands_for(thing: Any, spec: Spec, kind: Kind, *, is_made: bool, takes_model: bool = False) -> StandsFor:
    """What a user's defense, detector or head is, with the spec's parameters: the thing itself, or a maker's.

    A class, and a function that can be called without an argument, make it; a function that needs one is it.

    Args:
        thing: what the spec names.
        spec: its parameters.
        kind: what it has to be, for messages.
        is_made: whether it is an object that is ready.
        takes_model: whether a class or function with a parameter `model` makes it of a classifier.

    Raises:
        SpecError: parameters that it does not have, or a maker that fails.
    """
    if is_made:
        if spec.parameters:
            raise SpecError(f"{kind} {spec.name!r} is made already and takes no parameters.")
        return StandsFor(thing)
    known = parameters(thing)
    of_model = takes_model and MODEL in known
    is_itself = not of_model and not inspect.isclass(thing) and needs_an_argument(thing)
    without = MODEL if of_model else next(iter(known), "") if is_itself else ""
    others = {name: parameter for name, parameter in known.items() if name != without}
    given = converted(spec, others, kind, takes_more=takes_more(thing))
    if of_model or is_itself:
        return StandsFor(partial(thing, **given) if given else thing, of_model)
    made = made_by(partial(thing, **given), spec.name, kind)
    return StandsFor(made, maker=spec.name.rpartition(":")[2])


def made_by(make: Callable[[], Any], name: str, what: str) -> Any:
    """What a class or a function of the user's makes, called as in a program of its own.

    Args:
        make: is called without an argument.
        name: of the class or function, `package.module:name` or `file.py:name`.
        what: it makes, for the message.

    Raises:
        SpecError: it fails.
    """
    try:
        with as_own_program(name):
            return make()
    except AdvbenchError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if ran_out_of_memory(error):
            raise
        raise SpecError(f"{what} {name} failed: {failure_sentence(error, name)}") from error


def adapted(defense: Any) -> Map:
    """A defense whose contract is checked on its first call; one that lists substitutes keeps its own.

    Raises:
        DefenseError: nothing that can be called.
    """
    if not callable(defense):
        raise DefenseError(f"a defense must be a function or an object with __call__, got {defense!r:.80}.")
    known = isinstance(defense, torch.nn.Module | Plugin) or any(
        hasattr(defense, name) for name in ("substitutes", "substitute")
    )
    if known or (is_random(defense) and takes_draws(defense)):
        function: Map = defense  # it knows the contract
        return function
    return Plugin(defense, random=is_random(defense))


def as_tensor(y: Any, x: Tensor) -> Tensor:
    """What a function returned, as a tensor on the device and of the type of `x`."""
    if isinstance(y, np.ndarray):
        y = torch.from_numpy(np.ascontiguousarray(y))
    if not isinstance(y, Tensor):
        raise TypeError(f"it returns {type(y).__name__}")
    if not y.is_floating_point():
        raise DefenseError(
            f"a defense must return floats in [0, 1], got {y.dtype}. Divide 8-bit pixels by 255."
        )
    return y.to(device=x.device, dtype=x.dtype)


def _check_contract(name: str, y: Tensor, x: Tensor) -> None:
    """Shape, finiteness and range of the first batch that a defense returns."""
    broken = ""
    if y.dim() == 0 or len(y) != len(x):
        broken = f"return {len(x)} images for {len(x)}, got shape {tuple(y.shape)}"
    elif not bool(y.isfinite().all()):
        broken = "return finite numbers, got NaN or infinity"
    elif _is_pixels(x) and not (float(y.min()) >= -_BEYOND and float(y.max()) <= 1.0 + _BEYOND):
        broken = f"keep pixels in [0, 1], got [{float(y.min()):.3g}, {float(y.max()):.3g}]"
    if broken:
        raise DefenseError(f"defense {name} must {broken}, on images of shape {tuple(x.shape)}.")


def _is_pixels(x: Tensor) -> bool:
    return x.dim() == 4 and bool(((x >= 0.0) & (x <= 1.0)).all())


def _call(function: Callable[..., Any], form: Form, x: Tensor) -> Any:
    if form == "tensor":
        return function(x)
    if form == "array":
        return function(x.detach().cpu().numpy())
    images = x.detach().cpu().permute(0, 2, 3, 1).numpy()
    if form == "images":
        made = [function(np.ascontiguousarray(image)) for image in images]
        return np.stack([_channels_first(np.asarray(picture)) for picture in made])
    pil = _pil()
    pixels = (images * 255.0).round().clip(0, 255).astype(np.uint8)
    made = [function(pil.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)) for image in pixels]
    for picture in made:
        if not isinstance(picture, pil.Image):
            raise TypeError(f"it returns {type(picture).__name__}")
    decoded = [np.asarray(picture) for picture in made]
    if any(array.dtype != np.uint8 for array in decoded):
        raise DefenseError(f"a defense on PIL images must return 8-bit images, got {decoded[0].dtype}.")
    return np.stack([_channels_first(array) for array in decoded]).astype(np.float32) / 255.0


def _channels_first(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)


def form_told(function: Callable[..., Any]) -> Form | None:
    """What the type of a function's first parameter says that it takes."""
    try:
        called = function.func if isinstance(function, partial) else function
        hints = typing.get_type_hints(called if inspect.isroutine(called) else type(called).__call__)
        first = next(iter(parameter for parameter in inspect.signature(called).parameters))
    except (NameError, TypeError, ValueError, StopIteration):
        return None
    hint = hints.get(first)
    if hint is Tensor:
        return "tensor"
    origin = typing.get_origin(hint) or hint
    if origin is np.ndarray:
        return "array"
    return "pil" if getattr(origin, "__module__", "").startswith("PIL.") else None


def needs_an_argument(function: Callable[..., Any]) -> bool:
    """Whether a function cannot be called without one: it is then what was meant, and makes nothing."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built in functions may have none
        return True
    return any(
        parameter.kind in positional and parameter.default is inspect.Parameter.empty
        for parameter in arguments
    )


def _name(function: Callable[..., Any]) -> str:
    return _name(function.func) if isinstance(function, partial) else name_of(function)


def _pil() -> ModuleType:
    from PIL import Image  # noqa: PLC0415  # few defenses need it

    return Image
