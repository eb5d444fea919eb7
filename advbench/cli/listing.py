"""`advbench list`: what can be named, with its parameters."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import typer

from advbench.registry import ANY_NAME, Entry, Parameter, parameters

What = Literal["attacks", "defenses", "models", "datasets"]


def list_names(
    what: Annotated[What, typer.Argument(help="What to list.", show_default=False)],
) -> None:
    """Show what can be named, with its parameters."""
    from rich.console import Console  # noqa: PLC0415  # so that --help answers at once
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    more = ("needs", "cost") if what == "attacks" else ()
    for title in ("name", "what", "parameters", *more, "source"):
        table.add_column(title, overflow="fold", no_wrap=title == "name")
    for name, entry in _entries(what).items():
        # A library is not imported for the parameters of all that it has.
        shown = "" if what == "datasets" or name.endswith(ANY_NAME) else _parameters(entry)
        passes = (entry.needs, entry.cost) if more else ()
        table.add_row(*map(Text, (name, entry.summary, shown, *passes, entry.source)))
    if more:
        table.caption = (
            "cost: passes for an image that stands to the end; F forward, B backward to the pixels"
        )
    Console(soft_wrap=False).print(table)


def _entries(what: What) -> Mapping[str, Entry]:
    from advbench.attacks import ATTACKS  # noqa: PLC0415
    from advbench.data.registry import DATASETS  # noqa: PLC0415
    from advbench.defenses import DEFENSES  # noqa: PLC0415
    from advbench.models.registry import MODELS, torchvision_models  # noqa: PLC0415

    if what == "models":
        return {**MODELS, **torchvision_models()}
    tables: dict[str, Mapping[str, Entry]] = {"attacks": ATTACKS, "defenses": DEFENSES, "datasets": DATASETS}
    return tables[what]


def _parameters(entry: Entry) -> str:
    if entry.factory.startswith("torchvision."):
        return "num_classes=1000"
    return ", ".join(map(_written, parameters(entry.load()).values()))


def _written(parameter: Parameter) -> str:
    """A parameter as it would be written, with its default; the default of a choice comes first."""
    if parameter.default is None:
        return parameter.name
    choices = get_args(parameter.annotation)
    if choices and all(isinstance(each, str) for each in choices):
        ordered = sorted(choices, key=lambda each: each != parameter.default)
        return f"{parameter.name}={'|'.join(ordered)}"
    return f"{parameter.name}={parameter.default}"
