"""What a field of a settings class says about itself.

The command line, the keys of a sweep's file and the file's schema are made from it, so that an option is
named where it is declared and where it is used, and nowhere else.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

from advbench.errors import SpecError

Kind = Literal["flag", "number", "choice", "texts", "text"]

_KEY: Final = "option"

Settings = TypeVar("Settings")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting, as people meet it.

    Args:
        help: a line for people.
        panel: the heading under which `--help` lists it.
        word: how the command line calls it, by default `--name`; `--fast/--no-fast` can also be denied.
        short: a shorter word.
        least: what a number is at least.
        most: what a number is at most; a run of more steps, queries or images would never end.
        shown: what `--help` calls its default; the value itself where this is empty.
        argument: whether the command line tells it by its place, without a word.
        read: makes the value of a text, where the type alone does not say how.
        in_files: whether a sweep's file may hold it; not what says where one start of a command writes and
            what it prints.
        changes_numbers: whether a table's numbers depend on it.
        once: what to do instead of giving it twice; empty where, as for most, the last one given holds.
    """

    help: str
    panel: str | None = None
    word: str = ""
    short: str = ""
    least: int | None = None
    most: int = 1_000_000_000
    shown: str = ""
    argument: bool = False
    read: Callable[[str], Any] | None = None
    in_files: bool = True
    changes_numbers: bool = True
    once: str = ""


def option(default: Any = MISSING, *, like: Option | None = None, **arguments: Any) -> Any:
    """A field of a settings class that people can set.

    Args:
        default: its value where nobody sets it.
        like: an option that several classes share.
        arguments: arguments of `Option`; beside `like`, those that differ from it.
    """
    described = Option(**arguments) if like is None else dataclasses.replace(like, **arguments)
    return field(default=default, metadata={_KEY: described})


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An option together with the field that it describes.

    Args:
        name: the field's.
        type: the field's, None left out of it.
        default: the field's.
        option: what it says about itself.
    """

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def word(self) -> str:
        """The option: `--batch-size`."""
        return self._words[0]

    @property
    def negation(self) -> str:
        """The option that says no; empty where there is none."""
        return self._words[1]

    @property
    def _words(self) -> tuple[str, str]:
        word, _, negation = (self.option.word or f"--{self.name.replace('_', '-')}").partition("/")
        return word, negation

    @property
    def key(self) -> str:
        """Its name in a file: the option's, with underscores."""
        return self.word.removeprefix("--").replace("-", "_")

    @property
    def choices(self) -> tuple[str, ...]:
        """What a choice may be; nothing where it is no choice."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def kind(self) -> Kind:
        """What it may hold."""
        if self.choices:
            return "choice"
        if get_origin(self.type) is tuple:
            return "texts"
        return "flag" if self.type is bool else "number" if self.type is int else "text"

    def parse(self, value: Any) -> Any:
        """A value of a file, of the plain type that the command line would take.

        Raises:
            SpecError: of another type, or out of its bounds.
        """
        match self.kind:
            case "flag":
                fits = isinstance(value, bool)
            case "number":
                fits = _is_whole(value) and self._is_within(value)
            case "choice":
                fits = value in self.choices if isinstance(value, str) else False
            case "text":
                are_numbers = isinstance(value, list) and value and all(map(_is_number, value))
                fits = bool(are_numbers) or isinstance(value, str) or _is_number(value)
                value = ",".join(map(str, value)) if are_numbers else str(value) if fits else value
            case "texts":
                texts = value if isinstance(value, list) else [value]
                fits = all(isinstance(text, str) for text in texts)
                value = texts
            case _:
                typing.assert_never(self.kind)
        if not fits:
            raise SpecError(f"it must be {self.expected}, got {value!r:.60}.")
        return value

    @property
    def expected(self) -> str:
        """What it may hold, in words."""
        match self.kind:
            case "flag":
                return "true or false"
            case "number":
                least, most = self.option.least, f"{self.option.most:,}"
                return (
                    f"a whole number of at most {most}"
                    if least is None
                    else f"a whole number from {least} to {most}"
                )
            case "choice":
                return f"one of {', '.join(self.choices)}"
            case "text":
                return "a text, a number, or a list of numbers"
            case "texts":
                return "a text, or a list of texts"
            case _:
                typing.assert_never(self.kind)

    def words(self, value: Any) -> list[str]:
        """The words of a command line that say the same."""
        if self.kind == "flag":
            return [self.word] if value else [self.negation] if self.negation else []
        values = value if self.kind == "texts" else [value]
        return [part for text in values for part in (self.word, str(text))]

    def value(self, given: Any) -> Any:
        """What the field holds, of what `parse` or the command line gives.

        Raises:
            SpecError: a text that cannot be read, or a number out of its bounds.
        """
        if self.kind == "number" and _is_whole(given) and not self._is_within(given):
            raise SpecError(f"{self.word} must be {self.expected}, got {given}.")
        if isinstance(given, str) and self.option.read is not None:
            return self.option.read(given)
        if isinstance(given, str) and self.type is Path:
            return Path(given)
        if isinstance(given, list) and Path in get_args(self.type):
            return tuple(map(Path, given))
        return tuple(given) if isinstance(given, list) else given

    def _is_within(self, number: int) -> bool:
        least = self.option.least
        return number <= self.option.most and (least is None or number >= least)


def settings_of(settings_class: type) -> Mapping[str, Setting]:
    """Every setting of a class by its field's name, in the order of the fields."""
    return _settings_of(settings_class)


@cache
def _settings_of(settings_class: type) -> Mapping[str, Setting]:
    hints = typing.get_type_hints(settings_class)
    return {
        described.name: Setting(
            name=described.name,
            type=_without_none(hints[described.name]),
            default=described.default,
            option=described.metadata[_KEY],
        )
        for described in dataclasses.fields(settings_class)
        if _KEY in described.metadata
    }


def made(settings_class: type[Settings], given: Mapping[str, Any], **others: Any) -> Settings:
    """Settings out of plain values; None stands for the default.

    Args:
        settings_class: whose.
        given: the values by the field's name, as the command line or `Setting.parse` gives them.
        others: fields that are no options.
    """
    known = settings_of(settings_class)
    values = {name: known[name].value(value) for name, value in given.items() if value is not None}
    return settings_class(**values, **others)


def _without_none(hint: Any) -> Any:
    """`X` of `X | None`; a union of several stays one, and is told as a text."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else hint


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
