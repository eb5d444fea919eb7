"""`advbench list` and `advbench doctor`: what can be named, and what is installed."""

import json
import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from advbench.cli.typed import command
from advbench.errors import RunError, printable
from advbench.jobs.settings.doctor import DoctorSettings
from advbench.names.registry import ANY_NAME, Entry, Parameter, parameters

if TYPE_CHECKING:
    from rich.console import RenderableType

    from advbench.jobs.doctor import Checkup

What = Literal["attacks", "defenses", "models", "datasets"]


def list_names(
    what: Annotated[What | None, typer.Argument(help="What to list.", show_default=False)] = None,
) -> None:
    """Show what can be named, with its parameters; alone, what can be listed."""
    from rich.console import Console  # noqa: PLC0415  # so that --help answers at once

    if what is None:
        Console().print("\n".join(f"advbench list {kind}" for kind in get_args(What)), highlight=False)
        return
    entries = _entries(what)
    Console().print(_blocks(entries) if what in {"attacks", "defenses"} else _table(entries))


def _table(entries: Mapping[str, Entry]) -> "RenderableType":
    """A line for each."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("name", "what", "parameters", "source"):
        table.add_column(title, overflow="fold", no_wrap=title == "name")
    for name, entry in entries.items():
        table.add_row(*map(Text, (name, entry.summary, _parameters(name, entry), entry.source)))
    return table


def _blocks(entries: Mapping[str, Entry]) -> "RenderableType":
    """A paragraph for each, where columns would be too narrow to read."""
    from rich.console import Group  # noqa: PLC0415
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    lines: list[RenderableType] = []
    for name, entry in entries.items():
        lines.append(Text.assemble((name, "bold"), f"  {entry.summary} ({entry.source})"))
        passes = f"needs {entry.needs}; costs {entry.cost}" if entry.needs else ""
        lines += [Padding(Text(line), (0, 0, 0, 4)) for line in (passes, _parameters(name, entry)) if line]
    if any(entry.cost for entry in entries.values()):
        lines += ["", "costs: for an image that stands to the end; F forward, B backward to the pixels"]
    return Group(*lines)


def _entries(what: What) -> Mapping[str, Entry]:
    from advbench.attacks import ATTACKS  # noqa: PLC0415
    from advbench.data.registry import DATASETS  # noqa: PLC0415
    from advbench.defenses import DEFENSES  # noqa: PLC0415
    from advbench.models.registry import MODELS, torchvision_models  # noqa: PLC0415

    if what == "models":
        return {**MODELS, **torchvision_models()}
    tables: dict[str, Mapping[str, Entry]] = {"attacks": ATTACKS, "defenses": DEFENSES, "datasets": DATASETS}
    return tables[what]


def _parameters(name: str, entry: Entry) -> str:
    if entry.factory.startswith("torchvision."):
        return "num_classes=1000"
    if entry.factory.startswith("advbench.data.") or name.endswith(ANY_NAME):
        return ""  # a library is not imported for the parameters of all that it has
    return ", ".join(map(_written, parameters(entry.load()).values()))


def _written(parameter: Parameter) -> str:
    """A parameter as it would be written, with its default; the default of a choice comes first."""
    if parameter.default in (None, ""):
        return parameter.name
    choices = get_args(parameter.annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        ordered = sorted(choices, key=lambda choice: choice != parameter.default)
        return f"{parameter.name}={'|'.join(ordered)}"
    if isinstance(parameter.default, float):
        return f"{parameter.name}={short(parameter.default)}"
    return f"{parameter.name}={parameter.default}"


def _doctor(settings: DoctorSettings) -> None:
    """Say what is installed and on which devices it computes what it should, for a bug report.

    The exit code is 1 if a device does not. Nothing is written or sent.
    """
    from advbench.jobs.doctor import look  # noqa: PLC0415  # imports torch; --help must not

    checkup = look(settings)
    if settings.json:
        sys.stdout.write(json.dumps(checkup.record(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{printable(line)}\n" for line in _checkup_lines(checkup))
    if not checkup.holds:
        wrong = [f"{device.name}: {device.failure}" for device in checkup.devices if not device.holds]
        raise RunError(f"the self test fails on {'; '.join(wrong)}.")


def _checkup_lines(checkup: "Checkup") -> Iterator[str]:
    """A fact a line, which a bug report can hold as it is."""
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in checkup.versions.items())
    yield from (f"commit: {commit}" for commit in checkup.commits.values())
    yield f"platform: {checkup.platform}"
    yield "threads: " + ", ".join(f"{name} {count}" for name, count in checkup.threads.items())
    for device in checkup.devices:
        result = f"self test holds in {device.seconds:.2f} s" if device.holds else f"WRONG: {device.failure}"
        yield f"device: {device.name} ({device.hardware}), {device.free / 2**30:.1f} GiB free, {result}"
    for extra in checkup.extras:
        yield f"extra: {extra.name} {extra.version or 'is not installed'}, for {extra.purpose}"
    names = ", ".join(checkup.folders or ()) or "no folder"
    there = "is no folder" if checkup.folders is None else f"holds {names}"
    yield f"data root: {checkup.data_root} {there}"
    yield f"settings file: {checkup.settings_file or 'none'}"


doctor = command(DoctorSettings, _doctor)


def short(number: float) -> str:
    """A number as a person would write it: `0.1`, but `4/255` for 0.01568627450980392."""
    if len(decimal := repr(number)) <= _LONG:
        return decimal
    fraction = Fraction(number).limit_denominator(_MOST)
    if float(fraction) != number:
        return decimal
    pixels = 255 // fraction.denominator if fraction.denominator in _OF_PIXELS else 1
    return f"{fraction.numerator * pixels}/{fraction.denominator * pixels}"


_LONG, _MOST = 8, 1000
"""Numbers of more characters are written as fractions where these have no greater denominator."""
_OF_PIXELS = (15, 17, 51, 85, 255)
"""Denominators of multiples of 1/255, of which a third and a fifth are left as they are."""
