"""Tables and escapes of Markdown."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_<>\[\]|])")


def escaped(text: str) -> str:
    """A text as a paragraph of Markdown shows it, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def prose(text: str) -> str:
    """Words that may hold `code` themselves, in one line of a table."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    shown = [
        part.replace("|", "\\|") if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts
    ]
    return "".join(shown)


def code(text: str) -> str:
    """A text as code, in one line of a table; nothing where there is no text."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""
    rows = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
