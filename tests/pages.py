"""The pages that people read, and the commands and examples in them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^```console\n((?:.*\n)*?)```", re.MULTILINE)
_EXAMPLE = re.compile(
    r"^```python\n((?:(?!```).*\n)*)```(?:(?!```)[\s\S])*```text\n((?:.*\n)*?)```", re.MULTILINE
)
_FILE = re.compile(r"[Ss]ave this as `([\w.]+)`:\n\n```python\n((?:.*\n)*?)```")
_TOML = re.compile(r"^ *```toml\n((?:.*\n)*?) *```", re.MULTILINE)


class Example(NamedTuple):
    """A script with what it prints."""

    code: str
    printed: str


@dataclass(frozen=True)
class Page:
    """A page in Markdown.

    Args:
        name: the page's path from the top of the repository.
        text: what the page says.
    """

    name: str
    text: str

    @property
    def blocks(self) -> list[str]:
        """The blocks of commands with what they print."""
        return _BLOCK.findall(self.text)

    @property
    def examples(self) -> list[Example]:
        """The scripts, each with what it prints."""
        return [Example(*both) for both in _EXAMPLE.findall(self.text)]

    def examples_behind(self, block: str) -> list[Example]:
        """The scripts that read a folder which the commands of a block have written."""
        folders = re.findall(r"--out (\S+)", block)
        return [example for example in self.examples if any(folder in example.code for folder in folders)]

    @property
    def examples_alone(self) -> list[Example]:
        """The scripts that need no command before them."""
        behind = {example for block in self.blocks for example in self.examples_behind(block)}
        return [example for example in self.examples if example not in behind]

    @property
    def files(self) -> dict[str, str]:
        """The files that the reader is told to save."""
        return dict(_FILE.findall(self.text))

    @property
    def tomls(self) -> list[str]:
        """The blocks of TOML."""
        return _TOML.findall(self.text)


def pages() -> list[Page]:
    """The README, and every page of the site that is written by hand."""
    paths = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [Page(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]


def page(name: str) -> Page:
    """The page of a name."""
    return next(known for known in pages() if known.name == name)


def commands_of(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints."""
    return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
