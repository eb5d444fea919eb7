"""Literal tables of what can be named, and how a name with parameters becomes an object."""

import importlib
import importlib.metadata
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from advbench.errors import SpecError, nearest
from advbench.names.conversion import convert
from advbench.names.grammar import Spec

Kind = Literal["attack", "defense", "detector", "head", "model", "substitute", "surrogate"]

ANY_NAME: Final = ":NAME"
"""How a table's key ends that stands for every name of a library."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that can be named: where its factory lives and what it is.

    Args:
        factory: `package.module:attribute`, imported on first use. Its keyword parameters are the
            parameters that a user may give, with the defaults that the user gets.
        summary: one line for `advbench list`.
        source: the paper or the project that it comes from.
        needs: what an attack asks the model for: `gradient`, `scores`, or both.
        cost: an attack's passes through the model for an image that stands to the end, in words of its
            parameters.
        member: which of a library's names is meant; its factory then makes the factory of that name.
    """

    factory: str
    summary: str
    source: str = ""
    needs: str = ""
    cost: str = ""
    member: str = ""

    def load(self) -> Callable[..., Any]:
        """Import the factory.

        Raises:
            InputError: a library that is not installed, or a name that it does not have.
        """
        module, _, attribute = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return factory(self.member) if self.member else factory


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a factory: what it may hold and what it holds by default."""

    name: str
    annotation: Any
    default: Any


def find(table: Mapping[str, Entry], name: str, kind: Kind) -> Entry:
    """The entry called `name`, built in or added by an installed package.

    Packages add their own through entry points of the group `advbench.<kind>s`, which are read only
    when the name is not built in. A key `library:NAME` stands for every name of that library.

    Raises:
        SpecError: no such name; the message suggests the nearest ones.
    """
    library, colon, member = name.partition(":")
    if colon and library + ANY_NAME in table:
        return replace(table[library + ANY_NAME], member=member)
    if name in table:
        return table[name]
    added = {
        entry_point.name: entry_point
        for entry_point in importlib.metadata.entry_points(group=f"advbench.{kind}s")
    }
    if name in added:
        return Entry(factory=added[name].value, summary=f"from {added[name].value.partition('.')[0]}")
    raise SpecError(f"there is no {kind} called {name!r}. {nearest(name, [*table, *added])}")


def parameters(factory: Callable[..., Any]) -> dict[str, Parameter]:
    """The named parameters of a factory, in order; one without a type may hold any value."""
    home = factory.__init__ if inspect.isclass(factory) else factory
    try:
        hints = typing.get_type_hints(home)
    except (NameError, TypeError):  # annotations that only type checkers can resolve; partial functions
        hints = {}
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: Parameter(name=name, annotation=hints.get(name, Any), default=parameter.default)
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in named
    }


def build(factory: Callable[..., Any], spec: Spec, kind: Kind, **given: Any) -> Any:
    """Call a factory with the parameters of a spec, converted to the types that it declares.

    Args:
        factory: makes the attack, defense, model or data set.
        spec: the name and parameters as they were written.
        kind: the word for it in error messages.
        given: values for parameters of these names where the factory has them; the spec wins.

    Raises:
        SpecError: an unknown parameter, or a value of the wrong type or range.
    """
    return factory(**arguments(factory, spec, kind, **given))


def arguments(factory: Callable[..., Any], spec: Spec, kind: Kind, **given: Any) -> dict[str, Any]:
    """What `build` calls a factory with.

    Raises:
        SpecError: as `build`.
    """
    known = parameters(factory)
    offered = {name: value for name, value in given.items() if name in known}
    return {**offered, **converted(spec, known, kind, takes_more=takes_more(factory))}


def takes_more(factory: Callable[..., Any]) -> bool:
    """Whether a factory takes parameters that it does not name (`**kwargs`)."""
    named = inspect.signature(factory).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in named)


def converted(
    spec: Spec, known: Mapping[str, Parameter], kind: Kind, *, takes_more: bool = False
) -> dict[str, Any]:
    """The parameters of a spec as the types that a factory declares.

    Args:
        spec: the name and parameters as they were written.
        known: the parameters that the factory names.
        kind: the word for it in error messages.
        takes_more: whether it takes others too, without a type.

    Raises:
        SpecError: an unknown parameter, or a value that does not fit its type.
    """
    for name in spec.parameters:
        if name not in known and not takes_more:
            hint = nearest(name, known) if known else "It takes none."
            raise SpecError(f"{kind} {spec.name!r} has no parameter {name!r}. {hint}")
    for name, text in spec.parameters.items():
        _check_flag(known.get(name), text, f"{spec.name}: {name}")
    return {
        name: convert(text, known[name].annotation if name in known else Any, f"{spec.name}: {name}")
        for name, text in spec.parameters.items()
    }


def _check_flag(parameter: Parameter | None, text: str, what: str) -> None:
    """Refuse `no` for a parameter without a type that is True or False by default: as a text it is true.

    Raises:
        SpecError: such a word.
    """
    untyped = parameter is not None and parameter.annotation is Any and isinstance(parameter.default, bool)
    if untyped and text.lower() in ("yes", "no", "on", "off"):
        raise SpecError(f"{what} must be True or False, got {text!r}.")
