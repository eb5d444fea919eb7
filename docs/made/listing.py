"""Lists of pages: each with its title and its first sentence."""

import re
from pathlib import Path
from typing import NamedTuple

INDEX = "index.md"

_CONTENTS = re.compile(r"^```\{toctree\}\n((?:.*\n)*?)```", re.MULTILINE)


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
    opening = without_links(sentence[0]) if sentence else ""
    return Page(title[1] if title else "", f"{opening[:-1]}." if opening.endswith(":") else opening)


def names_below(folder: Path) -> list[str]:
    """The pages of a folder: its index, then the others in the order of the index's contents.

    Pages that the contents do not name come last.
    """
    names = [path.stem for path in folder.glob("*.md")]
    index = (folder / INDEX).read_text(encoding="utf-8") if (folder / INDEX).exists() else ""
    order = _named_by(index)
    places = {"index": -1, **{name: place for place, name in enumerate(order)}}
    return sorted(names, key=lambda name: (places.get(name, len(order)), name))


def with_all_pages(index: str, folder: Path) -> str:
    """An index whose contents name the pages that were added to its folder in the place of a `*`."""
    added = [name for name in names_below(folder) if name not in ("index", *_named_by(index))]
    return re.sub(r"^\*\n", "".join(f"{name}\n" for name in added), index, flags=re.MULTILINE)


def _named_by(index: str) -> list[str]:
    """What the contents of an index name, in their order."""
    contents = _CONTENTS.search(index)
    return contents[1].split() if contents else []


def line_of(page: Page, target: str) -> str:
    """A page as a line of a list."""
    return f"- [{page.title}]({target}): {page.first_sentence}".removesuffix(": ")


def pages_below(folder: Path) -> str:
    """A list of links to the pages of a folder, but for its index."""
    files = [f"{name}.md" for name in names_below(folder)]
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in files if name != INDEX}
    return "\n".join(line_of(page_of(text), name) for name, text in texts.items()) + "\n"


def without_links(text: str) -> str:
    """A text whose links are their words."""
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
