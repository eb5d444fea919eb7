"""A command of a settings class: its fields become the options, and their values the settings.

What nobody has typed may have a default of the project's, from its settings file.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer
from rich.markup import escape

from advbench.cli.project_defaults import (
    IGNORE,
    check_denied,
    denial,
    from_file,
    hidden_denial,
    no_settings,
    tell,
    typed_names,
)
from advbench.errors import AdvbenchError, SpecError
from advbench.jobs.settings.option import Setting, made, settings_of

if TYPE_CHECKING:
    from advbench.jobs.settings.project import FromFile

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
    denials = [setting for setting in known.values() if setting.kind == "flag" and not setting.negation]

    def run(context: typer.Context, **given: Any) -> None:
        _check_once(known.values(), context.obj or ())
        ignores_file = given.pop(IGNORE)
        denied = {setting.name for setting in denials if given.pop(denial(setting))}
        typed = typed_names(context, known)
        if "dataset" in typed and ":" in (given["dataset"] or ""):
            typed.add("data_root")  # the place stands behind the data set's name
        check_denied(denied & typed, known)
        source = None if ignores_file else from_file(context.info_name or "", frozenset(typed | denied))
        try:
            if source is not None:
                given |= {name: value.given for name, value in source.values.items()}
            settings = made(settings_class, given, **_record(settings_class, context.obj or (), source))
            tell(source, quiet=bool(given.get("quiet")))
            act(settings)
        except AdvbenchError as error:
            if source is not None:
                error.args = (source.blamed(str(error)),)
            raise

    parameters = [_parameter(setting, completions) for setting in known.values()]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters, no_settings(), *map(hidden_denial, denials)])
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


def _record(settings_class: type, words: Sequence[str], source: "FromFile | None") -> dict[str, Any]:
    """What a settings class keeps for its record: the words that do the same, and what a file added."""
    fields = inspect.signature(settings_class).parameters
    added = source.words() if source is not None else []
    record = {
        "command": ("advbench", *words[:1], *added, *words[1:]),
        "settings_file": None if source is None else source.record,
    }
    return {name: value for name, value in record.items() if name in fields}


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
