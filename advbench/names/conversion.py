"""A parameter's text as the type that its factory declares."""

import collections.abc
import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import Any, Final, Literal

from advbench.errors import SpecError
from advbench.names.grammar import parse_number
from advbench.names.literals import QUOTES, literal

_LISTS: Final = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_NONE: Final = type(None)

_BEYOND: Final = 2**63  # what neither tensors nor arrays can hold


def convert(text: str, annotation: Any, what: str) -> Any:
    """Read a parameter's text as the type that its factory declares.

    Unions are tried from left to right, so `int | str` prefers the number. A parameter without a type, or of
    one that no text can be, gets what the text is written as (`literal`).

    Raises:
        SpecError: the text does not fit.
    """
    alternatives = _alternatives(annotation)
    if _NONE in alternatives and text == "None":
        return None
    options = [alternative for alternative in alternatives if alternative is not _NONE]
    if text[:1] in "[(":  # a text takes anything, a list only what looks like one
        options.sort(key=lambda alternative: alternative is str)
    error: SpecError | None = None
    for option in options:
        try:
            return _convert_plain(text, option, what)
        except SpecError as failure:
            error = failure
    if len(options) > 1:
        raise SpecError(f"{what} must be {_words(options)}, got {text!r}.")
    assert error is not None
    raise error


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _convert_plain(text: str, annotation: Any, what: str) -> Any:
    if annotation is float:
        return parse_number(text, what)
    origin = typing.get_origin(annotation) or annotation
    if origin is Literal:
        choices = {str(kind): kind for kind in typing.get_args(annotation)}
        if text not in choices:
            raise SpecError(f"{what} must be one of {', '.join(choices)}, got {text!r}.")
        return choices[text]
    if origin in _LISTS:
        return _list(text, annotation, what)
    if inspect.isclass(annotation) and issubclass(annotation, str | os.PathLike):
        return _unquoted(text) if annotation is str else text
    readers: dict[Any, Callable[[str], Any]] = {int: int, bool: _read_bool}
    try:
        value = readers.get(annotation, literal)(text)
    except ValueError:
        raise SpecError(f"{what} must be {_words([annotation])}, got {text!r}.") from None
    if isinstance(value, int) and abs(value) >= _BEYOND:
        raise SpecError(f"{what} must lie between -2^63 and 2^63, got {text}.")
    return value


def _list(text: str, annotation: Any, what: str) -> Any:
    """A list or a tuple, `[1,2]` or `(1,2)`, each item of the type that is declared for all of them."""
    items = literal(text)
    if not isinstance(items, list | tuple):
        raise SpecError(f"{what} must be {_words([annotation])}, got {text!r}.")
    kinds = [kind for kind in typing.get_args(annotation) if kind is not Ellipsis]
    if len(kinds) == 1:
        items = [_item(item, kinds[0], f"{what}: {item!r}") for item in items]
    is_tuple = (typing.get_origin(annotation) or annotation) is tuple
    return tuple(items) if is_tuple else list(items)


def _item(value: Any, annotation: Any, what: str) -> Any:
    """An item of a list, which has been read, as the type that is declared."""
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation in (int, float, bool, str) and type(value) is not annotation:
        raise SpecError(f"{what} must be {_words([annotation])}.")
    return value


def _unquoted(text: str) -> str:
    value = literal(text) if text[:1] in QUOTES else text
    return value if isinstance(value, str) else text


def _read_bool(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _words(annotations: list[Any]) -> str:
    return " or ".join(map(_word, annotations))


def _word(annotation: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if annotation in names:
        return names[annotation]
    origin = typing.get_origin(annotation) or annotation
    if origin is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(annotation)))
    return "a list like [1,2]" if origin in _LISTS else "a value"
