"""Which tables are asked for."""

from collections.abc import Sequence
from typing import Final

from advbench.errors import SpecError

HTML: Final = "html"
"""The page: more than a table, and so no format of one."""


def formats_of(text: str, known: Sequence[str]) -> list[str]:
    """The formats of `--format a,b` or `--figures a,b`.

    Raises:
        SpecError: an unknown one.
    """
    formats = [each.strip() for each in text.split(",") if each.strip()]
    unknown = [each for each in formats if each not in known]
    if unknown:
        raise SpecError(f"there is no format {unknown[0]!r}; known: {', '.join(known)}.")
    return formats
