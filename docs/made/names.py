"""The reference of the public names: for the site by autodoc, for the Markdown beside it in plain text."""

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

from docs.made.docstrings import docstring_of

PACKAGES: Final = ("advbench", "advbench.attacks", "advbench.defenses", "advbench.reports")
"""Whose public names users may rely on."""


def public_names(package: str) -> list[str]:
    """The public names of a package that are classes or functions."""
    home = importlib.import_module(package)
    return [name for name in sorted(dir(home), key=str.lower) if callable(getattr(home, name))]


def names_for_autodoc(package: str) -> str:
    """The directives that make autodoc describe every public name of a package."""
    home = importlib.import_module(package)
    lines: list[str] = []
    for name in public_names(package):
        is_class = inspect.isclass(getattr(home, name))
        lines.append(f".. auto{'class' if is_class else 'function'}:: {package}.{name}")
        lines += ["   :members:", "   :exclude-members: forward", ""] if is_class else [""]
    return "```{eval-rst}\n" + "\n".join(lines) + "```\n"


def names_as_markdown(package: str) -> str:
    """Every public name of a package with its signature, its docstring and its members."""
    home = importlib.import_module(package)
    return "\n".join(_section(f"{package}.{name}", getattr(home, name)) for name in public_names(package))


def _section(title: str, named: Any) -> str:
    parts = [f"### {title}", f"```python\n{title}{_signature(named)}\n```", docstring_of(named).as_markdown]
    if inspect.isclass(named):
        members = [
            f"- `{name}`: {' '.join(docstring_of(member).head.split())}" for name, member in _members(named)
        ]
        parts.append("\n".join(members))
    return "\n\n".join(part for part in parts if part) + "\n"


def _signature(named: Any) -> str:
    try:
        return str(inspect.signature(named))
    except (TypeError, ValueError):
        return "(...)"


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class defines itself and describes."""
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for name, member in vars(kind).items():
        described = callable(member) or isinstance(member, property)
        if described and not name.startswith("_") and name not in fields and inspect.getdoc(member):
            yield name, member
