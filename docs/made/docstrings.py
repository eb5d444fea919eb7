"""A docstring in its parts: what it says first, and what it says of arguments, results and errors."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docs.made.markdown import prose

_SECTION = re.compile(r"^(Args|Keywords|Returns|Yields|Raises|Attributes):$", re.MULTILINE)
_ITEM = re.compile(r"^([\w*., ]+): ")


@dataclass(frozen=True, kw_only=True)
class Docstring:
    """What a docstring says.

    Args:
        head: everything before the first section, as it is written.
        sections: by the section's title, its items with what is said of them; a section without items has one
            of no name.
    """

    head: str
    sections: Mapping[str, Mapping[str, str]]

    @property
    def as_markdown(self) -> str:
        """The docstring as Markdown: the head, then a list for every section."""
        parts = [self.head]
        for title, items in self.sections.items():
            lines = [
                f"- `{name}`: {prose(meaning)}" if name else f"- {prose(meaning)}"
                for name, meaning in items.items()
            ]
            parts.append(f"{title}:\n\n" + "\n".join(lines))
        return "\n\n".join(part for part in parts if part)


def docstring_of(named: object) -> Docstring:
    """The docstring of a class, a function or a property; an empty one where there is none."""
    head, *rest = _SECTION.split(inspect.getdoc(named) or "")
    sections = {title: _items(body) for title, body in zip(rest[::2], rest[1::2], strict=True)}
    return Docstring(head=head.strip(), sections=sections)


def with_formulas(lines: Sequence[str]) -> list[str]:
    """The lines of a docstring with its indented blocks as reStructuredText shows them as they are written.

    Formulas and examples are indented, as in Markdown; in a section it means something else.
    """
    marked: list[str] = []
    for number, line in enumerate(lines):
        if _SECTION.match(line):
            return [*marked, *lines[number:]]
        before = lines[number - 1] if number else ""
        if line.startswith(" ") and not before.strip() and not _is_inside(marked):
            marked += ["::", ""]
        marked.append(line)
    return marked


def _is_inside(lines: Sequence[str]) -> bool:
    """Whether the last line that is not blank is indented: an indented block goes on behind a blank line."""
    return next((line.startswith(" ") for line in reversed(lines) if line.strip()), False)


def _items(body: str) -> dict[str, str]:
    """The items of a section; a line that is indented further goes on with the item before it."""
    items: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc("\n" + body).splitlines():
        if not line.startswith(" ") and (item := _ITEM.match(line)):
            name = item[1]
            line = line[item.end() :]  # noqa: PLW2901  # what follows the name
        items[name] = f"{items.get(name, '')} {line.strip()}".strip()
    return items
