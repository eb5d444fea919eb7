"""Every page as Markdown beside its HTML, and `llms.txt`, which lists them for programs that read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from advbench.version import VERSION
from docs.made.listing import line_of, names_below, page_of
from docs.made.marks import filled

_TOCTREE: Final = re.compile(r"^```\{toctree\}\n(?:.*\n)*?```\n?", re.MULTILINE)
_INCLUDE: Final = re.compile(r"^```\{include\} (\S+)\n(?:.*\n)*?```\n?", re.MULTILINE)
_SECTIONS: Final = {
    "": "Start here",
    "tutorials": "Tutorials",
    "howto": "How to",
    "explanation": "Explanation",
    "reference": "Reference",
    "evidence": "Evidence",
    "project": "The project",
}


def write_plain_pages(home: Path, pages: Mapping[str, Path], out: Path) -> None:
    """Write the pages as Markdown, and `llms.txt`.

    Args:
        home: the folder of all pages.
        pages: the file of every page, by its name without an ending.
        out: the folder of the site.
    """
    plain = {name: plain_page(path, home) for name, path in pages.items()}
    for name, text in plain.items():
        (out / f"{name}.md").write_text(text, encoding="utf-8")
    (out / "llms.txt").write_text(llms_text(plain, home), encoding="utf-8")


def plain_page(path: Path, home: Path) -> str:
    """A page in plain Markdown: marks filled, other files included, without what only Sphinx reads."""

    def included(directive: re.Match[str]) -> str:
        return (path.parent / directive[1]).read_text(encoding="utf-8")

    text = filled(path.read_text(encoding="utf-8"), home, for_sphinx=False)
    return _INCLUDE.sub(included, _TOCTREE.sub("", text)).rstrip() + "\n"


def llms_text(plain: Mapping[str, str], home: Path) -> str:
    """The list of all pages, as llmstxt.org describes it.

    Args:
        plain: the Markdown of every page, by its name.
        home: the folder of all pages, whose indices give the order.
    """
    parts = [f"# advbench {VERSION}\n", f"> {page_of(plain['index']).first_sentence}\n"]
    for folder, title in _SECTIONS.items():
        names = [f"{folder}/{name}".lstrip("/") for name in names_below(home / folder)]
        lines = [line_of(page_of(plain[name]), f"{name}.md") for name in names]
        parts.append("\n".join([f"## {title}\n", *lines, ""]))
    return "\n".join(parts)
