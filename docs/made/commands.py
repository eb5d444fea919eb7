"""The reference of the commands, made from the functions that are the commands."""

import inspect
import re
from typing import Any, Literal, get_args, get_origin

import typer
from rich.text import Text
from typer.models import ArgumentInfo, OptionInfo

from advbench.cli.app import app
from docs.made.markdown import code, escaped, table


def command_names() -> list[str]:
    """The commands, in the order in which `advbench --help` lists them."""
    return [command.name for command in app.registered_commands if command.name]


def commands() -> str:
    """A section for every command: its help, its usage, and a table of options for every panel."""
    return "\n".join(
        _section(f"advbench {command.name}", command.callback) for command in app.registered_commands
    )


def _section(words: str, act: Any) -> str:
    panels: dict[str, list[list[str]]] = {}
    places: list[str] = []
    for parameter in inspect.signature(act).parameters.values():
        if parameter.annotation is typer.Context:
            continue
        option = next(
            info for info in get_args(parameter.annotation)[1:] if isinstance(info, ArgumentInfo | OptionInfo)
        )
        if option.hidden:
            continue
        if isinstance(option, ArgumentInfo):
            place = parameter.name.upper()
            places.append(f"[{place}]" if parameter.default is None else place)
        panel = option.rich_help_panel or ("Arguments" if isinstance(option, ArgumentInfo) else "Options")
        panels.setdefault(panel, []).append(_line(parameter, option))
    usage = " ".join([words, "[OPTIONS]", *places])
    parts = [f"## {words}\n", f"{_help(act)}\n", f"```text\n{usage}\n```\n"]
    for panel, lines in panels.items():
        parts += [f"**{panel}**\n", table(["option", "default", "meaning"], lines)]
    return "\n".join(parts)


def _line(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> list[str]:
    kind, *_ = get_args(parameter.annotation)
    words = _words(parameter, info)
    is_choice = any(get_origin(part) is Literal for part in (kind, *get_args(kind)))
    values = "" if isinstance(info, ArgumentInfo) and not is_choice else _values(kind)
    shown = f"{', '.join(map(code, words))} {code(values)}".strip()
    return [shown, _default(parameter, info), _with_options(escaped(_plain(info.help or "")))]


def _words(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> list[str]:
    if isinstance(info, ArgumentInfo):
        return [parameter.name.upper()]
    first = [info.default] if isinstance(info.default, str) and info.default.startswith("-") else []
    declared = [word for part in (*first, *(info.param_decls or ())) for word in part.split("/")]
    return declared or [f"--{parameter.name.replace('_', '-')}"]


def _values(kind: Any) -> str:
    """What an option takes: its choices, or the kind of its value; nothing for a flag."""
    kinds = [part for part in (get_args(kind) or (kind,)) if part is not type(None)]
    if get_origin(kind) is Literal:
        return "|".join(map(str, kinds))
    (inner,) = kinds
    if get_origin(inner) is not None:
        return _values(inner)
    return {bool: "", int: "N", float: "X", str: "TEXT"}.get(inner, "PATH")


def _default(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> str:
    """The default as `--help` says it: in words where the option has some, else the value itself."""
    if isinstance(info.show_default, str):
        return escaped(info.show_default)
    if parameter.default in (None, inspect.Parameter.empty):
        return ""
    if isinstance(parameter.default, bool):
        return "on" if parameter.default else "off"
    return code(str(parameter.default))


def _help(act: Any) -> str:
    """The help of a command, a paragraph a line."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", _with_options(escaped_lines(inspect.getdoc(act) or "")))


def escaped_lines(text: str) -> str:
    """A text of several lines with each line as Markdown shows it."""
    return "\n".join(escaped(line) for line in text.splitlines())


def _with_options(text: str) -> str:
    """A text with the options that it names as code."""
    return re.sub(r"(?<![\w-])--[a-z][\w-]*", r"`\g<0>`", text)


def _plain(text: str) -> str:
    """A help text without the marks of its colours."""
    return Text.from_markup(text).plain
