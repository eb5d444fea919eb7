"""Lists of pages: each with its title and its first sentence."""

import re
from pathlib import Path
from typing import NamedTuple

INDEX = "index.md"


class Page(NamedTuple):
    """What a list says of a page."""

    title: str
    first_sentence: str


def page_of(text: str) -> Page:
    """The title of a page, and the first sentence below it; empty where there is none."""
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    below = text[title.end() :].strip() if title else ""
    paragraph = " ".join(below.split("\n\n")[0].split())
    starts_with_words = re.match(r"[\w*`\"[]", paragraph) and not paragraph.startswith("```")
    sentence = re.match(r".+?(?:[.?!](?=\s|$)|:$)", paragraph) if starts_with_words else None
    said = without_links(sentence[0]) if sentence else ""
    return Page(title[1] if title else "", f"{said[:-1]}." if said.endswith(":") else said)


def pages_below(folder: Path) -> str:
    """A list of links to the pages of a folder, but for its index, in the order of their titles."""
    pages = {path.name: page_of(path.read_text(encoding="utf-8")) for path in folder.glob("*.md")}
    lines = [
        f"- [{page.title}]({name}): {page.first_sentence}".removesuffix(": ")
        for name, page in sorted(pages.items(), key=lambda known: known[1].title.lower())
        if name != INDEX
    ]
    return "\n".join(lines) + "\n"


def without_links(text: str) -> str:
    """A text whose links are their words."""
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
