"""A command of a settings class: its fields become the options, and their values the settings."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

import typer
from rich.markup import escape

from advbench.errors import SpecError
from advbench.jobs.settings.option import Setting, made, settings_of

Completions = Mapping[str, Callable[[str], list[str]]]
"""What the shell offers after a Tab, by the field's name."""

Settings = TypeVar("Settings")


def command(
    settings_class: type[Settings],
    act: Callable[[Settings], None],
    completions: Completions = MappingProxyType({}),
) -> Callable[..., None]:
    """A function whose parameters Typer reads as options.

    Args:
        settings_class: whose fields are the options; a field `command` is given the words as they were typed.
        act: what is done with the settings; its docstring is the help.
        completions: for fields that the shell can complete.
    """
    known = settings_of(settings_class)

    def run(context: typer.Context, **given: Any) -> None:
        _check_once(known.values(), context.obj or ())
        others = {"command": ("advbench", *(context.obj or ()))} if _keeps_words(settings_class) else {}
        act(made(settings_class, given, **others))

    parameters = [_parameter(setting, completions) for setting in known.values()]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters])
    run.__doc__ = act.__doc__
    run.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    run.__signature__ = signature  # type: ignore[attr-defined]  # a function has room for it, and inspect asks there
    return run


def _check_once(known: Iterable[Setting], words: Sequence[str]) -> None:
    """See whether options of which people may expect several are given once.

    Raises:
        SpecError: one is given again, of which only the last would hold.
    """
    for setting in known:
        given = [word for word in words if word.partition("=")[0] == setting.word]
        if setting.option.once and len(given) > 1:
            times = f"{setting.word} may be given once, got it {len(given)} times"
            raise SpecError(f"{times}; {setting.option.once}.")


def _keeps_words(settings_class: type) -> bool:
    return "command" in inspect.signature(settings_class).parameters


def _parameter(setting: Setting, completions: Completions) -> inspect.Parameter:
    """An option as Typer wants to be told of it: a parameter with a type, a default and a description."""
    option, repeated = setting.option, setting.kind == "texts"
    described: dict[str, Any] = {"help": escape(option.help), "rich_help_panel": option.panel}
    if option.shown:
        described["show_default"] = option.shown
    if setting.name in completions:
        described["autocompletion"] = completions[setting.name]
    kind = _plain(setting)
    default = None if repeated and setting.default is not MISSING else setting.default
    if option.argument:
        if not option.shown:
            described["show_default"] = False
        declaration = typer.Argument(**described)
    else:
        word = f"{setting.word}/{setting.negation}" if setting.negation else setting.word
        words = [word, option.short] if option.short else [word]
        declaration = typer.Option(*words, min=option.least, **described)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=inspect.Parameter.empty if default is MISSING else default,
        annotation=Annotated[kind | None if default is None else kind, declaration],
    )


def _plain(setting: Setting) -> Any:
    """The type that Typer reads; a text where the settings make something of it."""
    if setting.kind == "texts":
        return list[get_args(setting.type)[0]]  # type: ignore[misc]  # a type that is made here
    return setting.type if setting.choices or setting.type in (bool, int, float, str, Path) else str
