"""On which line of a TOML file each of its values stands, which `tomllib` does not tell.

Only text that `tomllib` has accepted is looked at, so that nothing here checks anything: strings, comments,
brackets and keys are told apart, and that is enough to know where a value begins.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

Path = tuple[str | int, ...]
"""Where a value stands: keys, and the numbers of elements, from 0."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'(?:.)*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'',
    re.DOTALL,
)
_KEY = re.compile(r'(?:"(?:\\.|[^"\\])*"|\'[^\']*\'|[^\s"\'=\]])(?:"(?:\\.|[^"\\])*"|\'[^\']*\'|[^"\'=\]])*')
_BARE = re.compile(r"[^,\]}\n#]+")


def lines_of(text: str) -> Mapping[Path, int]:
    """The line, from 1, on which each value of a TOML text stands, by where it stands in what it says.

    A table stands where its header does, or its first key.

    Args:
        text: TOML that `tomllib` can read.
    """
    return _Scan(text).lines


class _Scan:
    """One pass over a text, from its first character to its last."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.ends = [match.start() for match in re.finditer("\n", text)]
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}
        table: Path = ()
        self._skip_blank()
        while self.at < len(text):
            if text[self.at] == "[":
                table = self._header()
            else:
                self._entry(table)
            self._skip_blank()

    def _header(self) -> Path:
        repeated = self.text.startswith("[[", self.at)
        began = self.at
        self.at += 2 if repeated else 1
        path = self._inside(self._key())
        self.at = self.text.index("]", self.at) + (2 if repeated else 1)
        if repeated:
            number = self.counts.get(path, 0)
            self.counts[path] = number + 1
            self._note(path, began)
            path = (*path, number)
        self._note(path, began)
        return path

    def _inside(self, keys: list[str]) -> Path:
        """A header's keys as a path: a table that is repeated is meant by its last element."""
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return (*path, keys[-1])

    def _entry(self, table: Path) -> None:
        began = self.at
        path = table
        for key in self._key():
            path = (*path, key)
            self._note(path, began)
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        match self.text[self.at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_BARE)

    def _array(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self._next("]"):
            self._note((*path, number), self.at)
            self._value((*path, number))
            number += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._next("}"):
            self._entry(path)

    def _next(self, end: str) -> bool:
        """Go to the next element of a list; whether there is one."""
        self._skip_blank()
        if self.text[self.at] == ",":
            self.at += 1
            self._skip_blank()
        if self.text[self.at] == end:
            self.at += 1
            return False
        return True

    def _key(self) -> list[str]:
        self._skip_blank()
        nested: Any = tomllib.loads(f"{self._take(_KEY)} = 0")
        keys = []
        while isinstance(nested, dict):
            ((key, nested),) = nested.items()
            keys.append(key)
        return keys

    def _note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_left(self.ends, at) + 1)

    def _skip_blank(self) -> None:
        self._take(_BLANK)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return match.group()
