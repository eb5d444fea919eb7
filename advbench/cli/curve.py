"""`advbench attack --eps a,b,c`: accuracy against the radius, as a sweep that carries what is known along."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from advbench.cli import sweep_session
from advbench.cli.assemble import listed
from advbench.cli.options import AttackOptions, SweepOptions
from advbench.cli.settings import settings
from advbench.cli.sweep_file import AXES, CURVE, DEFAULTS, SweepFile
from advbench.errors import InputError, SpecError
from advbench.threat import Threat


class CommandLine(SweepFile):
    """A sweep that was written as options, so that a fault has no line."""

    def refuse_line(self, line: int, message: str) -> NoReturn:
        """Say what is wrong.

        Raises:
            InputError: always.
        """
        del line
        raise InputError(message)


def run(options: AttackOptions, given: Mapping[str, Any]) -> None:
    """Attack at every radius, the smallest first.

    Args:
        options: the words of the command.
        given: the values of its options, by parameter.

    Raises:
        InputError: radii that are none, one that is there twice, or whatever else is wrong.
        RunError: some cells have failed; the others stand in the table.
    """
    if options.fail_on:
        raise SpecError("--fail-on judges one radius; give a single --eps.")
    if options.min_robust is not None:
        raise SpecError("--min-robust judges one radius; give a single --eps.")
    radii = listed(options.subject.eps or "")
    radii.sort(key=lambda text: Threat.parse(options.subject.norm, text).eps)
    if len(set(radii)) < len(radii):
        raise SpecError(f"--eps names a radius twice: {options.subject.eps}.")
    sweep_session.run(
        SweepOptions(
            command=options.command,
            file=Path("curve"),
            dry_run=False,
            out=options.out,
            overwrite=options.overwrite,
            formats=options.formats,
            style=options.style,
            json=options.json,
            quiet=options.quiet,
            debug=bool(given.get("debug")),
        ),
        CommandLine(Path("curve"), _as_file(given, options.subject.norm, radii)),
    )


def _as_file(given: Mapping[str, Any], norm: str, radii: list[str]) -> str:
    """The options as a sweep's file."""
    beside = {"eps", "norm"}
    said = {
        key: given.get(each.parameter)
        for key, each in settings().items()
        if key not in beside and given.get(each.parameter) not in (None, False, [], ())
    }
    if given.get("random_start") is False:
        said["random_start"] = False
    axes = {setting: axis for axis, setting in AXES.items() if axis in ("defenses", "attacks")}
    lists = {axis: said.pop(setting) for setting, axis in axes.items() if setting in said}
    threats = ", ".join(f"{{ norm = {_toml(norm)}, eps = {_toml(eps)} }}" for eps in radii)
    lines = [f"{CURVE} = true", f"threats = [{threats}]"]
    lines += [f"{axis} = {_toml(values)}" for axis, values in lists.items()]
    lines += [f"[{DEFAULTS}]", *(f"{key} = {_toml(value)}" for key, value in said.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML writes it, which JSON does too for texts, numbers, flags and lists of them."""
    text = list(map(str, value)) if isinstance(value, list | tuple) else value
    return json.dumps(str(text) if isinstance(text, Path) else text)
