"""What a class of another library takes, as parameters that a user may give."""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from advbench.errors import SpecError
from advbench.names.registry import Parameter
from advbench.threat.attack import Attack

_WORDS = (int, float, bool, str)
_ANYTHING = int | float | str

OWNED = {
    "eps": "it is the threat's; give --eps",
    "max_epsilon": "it is the threat's; give --eps",
    "norm": "it is the threat's; give --norm",
    "distance": "it is the threat's; give --norm",
    "targeted": "what counts is any wrong class",
}
"""Parameters that the harness decides, and why a user cannot give them."""

_MODELS = ("model", "estimator", "classifier")


def factory_of(
    label: str, kind: type, make: Callable[[dict[str, Any]], Attack], owned: Mapping[str, str] = OWNED
) -> Callable[..., Attack]:
    """A factory with the parameters of a class's constructor, as far as they can be given in words.

    Args:
        label: the attack's name in error messages.
        kind: the class.
        make: the attack, from the parameters that were given.
        owned: parameters that cannot be given, with the reason.
    """
    known = _parameters(kind)

    def factory(**settings: Any) -> Attack:
        for name in settings:
            if name in owned:
                raise SpecError(f"{label} takes no {name}: {owned[name]}.")
            if known[name].annotation is None:
                raise SpecError(f"{label}: {name} cannot be given in words.")
        for name, parameter in known.items():
            if parameter.default is inspect.Parameter.empty and name not in settings:
                raise SpecError(f"{label} needs {name}: write {label}:{name}=VALUE.")
        return make(settings)

    annotations = {
        name: str if parameter.annotation is None else parameter.annotation
        for name, parameter in known.items()
    }
    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in annotations.items()
    ]
    factory.__annotations__ = annotations
    factory.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # as inspect documents
    return factory


def defaults_of(kind: type) -> dict[str, Any]:
    """The parameters of a class's constructor that have a default, with it."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def _parameters(kind: type) -> dict[str, Parameter]:
    """The constructor's parameters but for the model; the annotation is None where words cannot say it."""
    hints = _hints(kind)
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: Parameter(
            name=name,
            annotation=_written(hints[name]) if name in hints else _guessed(parameter.default),
            default=parameter.default,
        )
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind in named and name not in _MODELS
    }


def _hints(kind: type) -> dict[str, Any]:
    """The constructor's annotations; names that only type checkers know stand for anything."""
    unknown: dict[str, Any] = {}
    for _ in range(len(inspect.signature(kind).parameters) + 1):
        try:
            return typing.get_type_hints(inspect.getattr_static(kind, "__init__"), localns=unknown)
        except NameError as error:
            unknown[str(error.name)] = Any
        except TypeError:
            break
    return {}


def _written(annotation: Any) -> Any:
    """The part of an annotation that words can say, None if there is none."""
    parts = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    spoken = [part for part in parts if part in _WORDS or typing.get_origin(part) is Literal]
    return typing.Union[tuple(spoken)] if spoken else None  # noqa: UP007  # put together at run time


def _guessed(default: Any) -> Any:
    """The type of a parameter without annotation, from its default; numbers may be whole or not."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, int):
        return int | float
    if isinstance(default, float | str):
        return type(default)
    return _ANYTHING if default is None or default is inspect.Parameter.empty else None


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, type(int | str))
