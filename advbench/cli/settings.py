"""The options of `advbench attack` as settings of a file: one signature is the table of both.

An option that `attack` gets is a setting at once: name, type, bounds and help come from there.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin

import typer
from typer.models import OptionInfo

from advbench.cli.attack import attack_options
from advbench.cli.options import AttackOptions
from advbench.errors import SpecError

Kind = Literal["flag", "number", "choice", "texts", "text"]

_OF_THE_COMMAND: Final = (
    *("out", "overwrite", "fail_on", "min_robust", "json", "quiet", "debug"),
    *("columns", "sort", "percent", "digits"),
)
"""Options that say what one start of the command does or prints, and so stand on the command line alone."""

CHANGES_NOTHING: Final = ("data_root", "download", "trust_program", "batch_size", "device", "format")
"""Settings that the numbers do not depend on, as far as `run.json` is concerned."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One option of `advbench attack`, as a key of a file.

    Args:
        key: its name in a file: the option's, with underscores.
        parameter: the parameter of `attack_options` that takes it.
        word: the option: `--batch-size`.
        negation: the option that says no, where there is one.
        kind: what it may hold.
        choices: what a choice may be.
        least: what a number is at least.
        help: a line for people.
    """

    key: str
    parameter: str
    word: str
    negation: str
    kind: Kind
    choices: tuple[str, ...]
    least: int | None
    help: str

    def read(self, value: Any) -> Any:
        """A value of a file as `attack_options` takes it.

        Raises:
            SpecError: of another type, or out of its bounds.
        """
        match self.kind:
            case "flag":
                fits = isinstance(value, bool)
            case "number":
                fits = _is_whole(value) and (self.least is None or value >= self.least)
            case "choice":
                fits = value in self.choices if isinstance(value, str) else False
            case "text":
                are_numbers = isinstance(value, list) and value and all(map(_is_number, value))
                fits = bool(are_numbers) or isinstance(value, str) or _is_number(value)
                value = ",".join(map(str, value)) if are_numbers else str(value) if fits else value
            case "texts":
                items = value if isinstance(value, list) else [value]
                fits = all(isinstance(each, str) for each in items)
                value = items
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
                return "a whole number" + ("" if self.least is None else f" of at least {self.least}")
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
        return [part for each in values for part in (self.word, str(each))]


@cache
def settings() -> Mapping[str, Setting]:
    """Every setting by its key, in the order of the options."""
    hints = typing.get_type_hints(attack_options, include_extras=True)
    found = [
        _setting(name, hints[name])
        for name in signature(attack_options).parameters
        if get_origin(hints[name]) is Annotated
    ]
    return {each.key: each for each in found if each.parameter not in _OF_THE_COMMAND}


def options_of(values: Mapping[str, Any], out: Path, *, overwrite: bool = False) -> AttackOptions:
    """What `advbench attack` would make of the same options.

    Args:
        values: by key, as `Setting.read` returns them.
        out: the folder of the run.
        overwrite: whether another run there may be replaced.

    Raises:
        SpecError: options that do not fit each other.
    """
    known = settings()
    given: dict[str, Any] = {
        known[key].parameter: Path(value) if known[key].parameter in _paths() else value
        for key, value in values.items()
    }
    words = [*words_of(values), "--out", str(out), *(["--overwrite"] if overwrite else [])]
    context = cast("typer.Context", SimpleNamespace(obj=["attack", *words]))
    return attack_options(context, **given, out=out, overwrite=overwrite)


def words_of(values: Mapping[str, Any]) -> list[str]:
    """The options of `advbench attack` that say what settings say."""
    return [word for key, each in settings().items() if key in values for word in each.words(values[key])]


@cache
def _paths() -> frozenset[str]:
    hints = typing.get_type_hints(attack_options)
    return frozenset(name for name, hint in hints.items() if Path in (hint, *get_args(hint)))


def _setting(name: str, hint: Any) -> Setting:
    annotation, option, *_ = get_args(hint)
    assert isinstance(option, OptionInfo)
    # In an annotation the first word of an option's declaration stands where a default would.
    declarations = [each for each in (option.default, *(option.param_decls or ())) if isinstance(each, str)]
    declared = next((each for each in declarations if each.startswith("--")), None)
    word, _, negation = (declared or f"--{name.replace('_', '-')}").partition("/")
    types = [each for each in (get_args(annotation) or (annotation,)) if each is not type(None)]
    choices = tuple(get_args(annotation)) if get_origin(annotation) is Literal else ()
    return Setting(
        key=word.removeprefix("--").replace("-", "_"),
        parameter=name,
        word=word,
        negation=negation,
        kind="choice" if choices else _kind(types),
        choices=choices,
        least=None if option.min is None else int(option.min),
        help=option.help or "",
    )


def _kind(types: list[Any]) -> Kind:
    if any(get_origin(each) is list for each in types):
        return "texts"
    return "flag" if bool in types else "number" if int in types else "text"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
