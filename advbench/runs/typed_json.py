"""JSON from elsewhere as objects of ours: every entry has the type that it should, or the reader refuses.

Whoever sends a folder wrote its files, so each entry may be anything. What a file should hold is read from
the annotations of a dataclass; there is no second list of it.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin

from advbench.errors import AdvbenchError, RunFolderError

_TOO_LARGE: Final = 1 << 62
_SHOWN: Final = 60  # characters of what a file holds

_WORDS: Final[Mapping[Any, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list",
    Mapping: "a group of entries",
}

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Least:
    """In `Annotated[int, Least(1)]`: how small a whole number may be."""

    least: int


Count = Annotated[int, Least(1)]
Index = Annotated[int, Least(0)]


@dataclass(frozen=True)
class Where:
    """Where in a file an entry stands.

    Args:
        file: as people should be told of it.
        names: of the entry, from the outside in.
    """

    file: str
    names: tuple[str, ...] = ()

    def within(self, name: Any) -> "Where":
        """An entry of this group."""
        return Where(self.file, (*self.names, f"{name!s:.{_SHOWN}}"))

    def __str__(self) -> str:
        return f"{self.file}: {'.'.join(self.names) or 'the whole'}"


def read_as(kind: type[Kind], value: Any, where: Where, *, whole: bool = True) -> Kind:
    """A value of a JSON file as an object.

    Args:
        kind: a dataclass, whose fields are read by their annotations: text, number, true or false,
            `X | None`, `Literal`, `tuple[X, ...]` of a list, `Mapping[str, X]`, other dataclasses. A field
            that is missing has its default.
        value: as `json.loads` gives it.
        where: for what is said.
        whole: whether entries that are no fields are refused.

    Raises:
        RunFolderError: an entry that is missing, of another type, or refused by the dataclass.
    """
    group = _group(value, where)
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass
    strange = [name for name in group if name not in fields]
    if whole and strange:
        raise RunFolderError(f"{where} has an entry {strange[0]!r:.{_SHOWN}}, which nothing of ours writes.")
    read = {}
    for name, field in fields.items():
        if name in group:
            read[name] = _read(hints[name], group[name], where.within(name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RunFolderError(f"{where.within(name)} is missing.")
    try:
        return kind(**read)
    except (AdvbenchError, ValueError) as error:
        raise RunFolderError(f"{where}: {error}") from error


def _read(kind: Any, value: Any, where: Where) -> Any:
    if dataclasses.is_dataclass(kind):
        return read_as(cast("type", kind), value, where)
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, types.UnionType):
        (other,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _read(other, value, where)
    if origin is Annotated:
        number, least = _read(arguments[0], value, where), arguments[1].least
        return number if number >= least else _refuse(where, f"at least {least}", value)
    if origin is Mapping:
        group = _group(value, where)
        return {name: _read(arguments[1], item, where.within(name)) for name, item in group.items()}
    if not _fits(origin, arguments, value):
        expected = f"one of {', '.join(arguments)}" if origin is Literal else _WORDS[origin]
        _refuse(where, expected, value)
    if origin is tuple:
        return tuple(_read(arguments[0], item, where.within(place)) for place, item in enumerate(value))
    return value


def _fits(origin: Any, arguments: tuple[Any, ...], value: Any) -> bool:
    """Whether a value is of a plain type; numbers that no run has counted up to are none."""
    if origin is Any:
        return True
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        return isinstance(value, list)
    if origin in (int, float):
        is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
        return is_number or (origin is float and isinstance(value, float))
    return isinstance(value, origin)


def _group(value: Any, where: Where) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _refuse(where, _WORDS[Mapping], value)


def _refuse(where: Where, expected: str, value: Any) -> NoReturn:
    raise RunFolderError(f"{where} must be {expected}, got {value!r:.{_SHOWN}}.")
