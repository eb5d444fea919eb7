"""Settings as Python tells them: the keywords of a public function are the fields of a settings class."""

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from advbench.errors import AdvbenchError, KeywordError, SpecError, nearest

from .option import Setting, settings_of

_OF_THE_COMMAND: Final = ("json", "quiet", "debug", "fail_on", "min_robust")
"""How the command line speaks and ends: a function prints nothing, returns rows, and raises what is wrong."""

Settings = TypeVar("Settings")
Function = TypeVar("Function", bound=Callable[..., Any])


def settings_from_keywords(
    settings_class: type[Settings], command: str, given: Mapping[str, Any], function: str = ""
) -> Settings:
    """Settings out of the keywords of a call; None stands for the default.

    Args:
        settings_class: whose fields the keywords are; its field `command`, where it has one, is given the
            command line that does the same.
        command: of the command line.
        given: the keywords and their values; paths may be texts, and a list of texts a single one.
        function: what is called; named like the command by default.

    Raises:
        KeywordError: a keyword that there is not.
        SpecError: a value of another type, or out of its bounds; settings that do not fit each other.
    """
    known = _keywords(settings_class)
    for name in given:
        if name not in known:
            raise KeywordError(
                f"advbench.{function or command}() has no keyword {name!r}. {nearest(name, list(known))}"
            )
    values = {name: _value(known[name], value) for name, value in given.items() if value is not None}
    if "command" in inspect.signature(settings_class).parameters:
        words = [word for name, value in values.items() for word in _words(known[name], value)]
        values["command"] = ("advbench", command, *words)
    return settings_class(**values)


def with_keywords(settings_class: type) -> Callable[[Function], Function]:
    """Show the keywords of a settings class in a function's signature, and their help in its docstring."""

    def show(function: Function) -> Function:
        own = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        names = {parameter.name for parameter in own}
        settings = [keyword for keyword in _keywords(settings_class).values() if keyword.name not in names]
        keywords = [
            inspect.Parameter(
                setting.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if setting.default is MISSING else setting.default,
                annotation=setting.type if setting.default is not None else setting.type | None,
            )
            for setting in settings
        ]
        returned = inspect.signature(function).return_annotation
        signature = inspect.Signature([*own, *keywords], return_annotation=returned)
        lines = [f"    {setting.name}: {setting.option.help}" for setting in settings]
        function.__signature__ = signature  # type: ignore[attr-defined]  # where inspect asks
        function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Keywords:", *lines])
        return function

    return show


@contextmanager
def said_in_keywords(settings_class: type) -> Iterator[None]:
    """Let errors name the keywords of a call where they name the options of a command."""
    try:
        yield
    except AdvbenchError as error:
        known = {}
        for setting in _keywords(settings_class).values():
            known[setting.word] = f"{setting.name}=" + ("True" if setting.kind == "flag" else "")
            known[setting.negation] = f"{setting.name}=False"
        error.args = (re.sub(r"--[a-z][a-z-]*", lambda word: known.get(word[0], word[0]), str(error)),)
        raise


def _keywords(settings_class: type) -> Mapping[str, Setting]:
    """The settings that Python may tell, by name."""
    known = settings_of(settings_class)
    return {name: setting for name, setting in known.items() if name not in _OF_THE_COMMAND}


def _words(setting: Setting, value: Any) -> list[str]:
    """What the command line says for a value."""
    if not setting.option.argument:
        return setting.words(value)
    return [str(word) for word in (value if isinstance(value, tuple) else (value,))]


def _value(setting: Setting, given: Any) -> Any:
    """What the field holds, of what a call gives."""
    plain = plain_value(given)
    if setting.type is float and isinstance(plain, int | float) and not isinstance(plain, bool):
        return float(plain)
    if setting.type is str and isinstance(plain, list) and all(isinstance(text, str) for text in plain):
        plain = ",".join(plain)
    try:
        parsed = setting.parse(plain)
    except SpecError as error:
        raise SpecError(f"{setting.name}: {error}") from error
    if setting.type is float:
        raise SpecError(f"{setting.name}: it must be a number, got {given!r:.60}.")
    kinds = get_args(setting.type)
    texts = parsed if isinstance(parsed, list) else [parsed]
    if (setting.type is Path or Path in kinds) and "" in texts:
        raise SpecError(f"{setting.name} needs a path, and is given none: ''.")
    return tuple(map(Path, parsed)) if Path in kinds else setting.value(parsed)


def plain_value(value: Any) -> Any:
    """A value as a file would hold it; a number of NumPy's or torch's as Python's own."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if (type(value).__module__, type(value).__name__) == ("torch", "device"):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [plain_value(item) for item in value] if isinstance(value, list | tuple) else value
