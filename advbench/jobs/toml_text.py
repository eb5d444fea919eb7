"""A file in TOML that a person wrote: its text, what it says, and nothing run."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from advbench.errors import InputError
from advbench.regular_files import read_regular

_LONG_KEY: Final = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){50}""", re.ASCII
)
_LARGEST: Final = 1 << 20  # bytes


class Toml(NamedTuple):
    """A text in TOML, and what it says."""

    text: str
    tree: dict[str, Any]


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, is no regular file, has more than 1 MiB, or is no text in UTF-8.
    """
    try:
        contents = read_regular(path, _LARGEST)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return contents.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8.") from error


def parse_toml(path: Path, text: str, kind: str) -> Toml:
    """What a text in TOML says.

    Args:
        path: where it was read, for messages.
        text: what was read.
        kind: what the file should be, `file of a sweep`.

    Raises:
        InputError: it is no TOML, or has keys or tables that no such file needs.
    """
    if _LONG_KEY.search(text):  # reading one takes time and memory with the square of its length
        raise InputError(f"{path} is no {kind}: a key has more than 50 parts.")
    try:
        return Toml(text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{path} is no TOML: it is nested too deeply.") from error
