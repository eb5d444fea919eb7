"""Marks in a page that the code fills: `<!-- made: defenses -->` becomes the reference of the defenses."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.made.columns import columns_of
from docs.made.commands import commands
from docs.made.listing import pages_below
from docs.made.names import names_as_markdown, names_for_autodoc
from docs.made.registries import attacks, datasets, defenses, models, substitutes

MARK: Final = re.compile(r"^<!-- made: (\w+)(?: (\S+))? -->$", re.MULTILINE)

_MADE: Final[Mapping[str, Callable[[], str]]] = {
    "attacks": attacks,
    "commands": commands,
    "datasets": datasets,
    "defenses": defenses,
    "models": models,
    "substitutes": substitutes,
}


def filled(text: str, home: Path, *, for_sphinx: bool) -> str:
    """A page with its marks filled.

    Args:
        text: the page, in Markdown.
        home: the folder of all pages.
        for_sphinx: whether Sphinx reads the page, which describes public names by itself.

    Raises:
        KeyError: a mark that nothing fills.
    """

    def made(mark: re.Match[str]) -> str:
        what, of = mark.groups()
        if what == "names":
            return names_for_autodoc(of) if for_sphinx else names_as_markdown(of)
        if what == "pages":
            return pages_below(home / of)
        if what == "columns":
            return columns_of(of)
        return _MADE[what]()

    return MARK.sub(made, text)
