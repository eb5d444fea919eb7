"""Plain data as YAML, for files that people look at and other programs read."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from advbench.errors import printable


def yaml_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Dictionaries, lists, texts, numbers, truth values and None in block style.

    Texts stand in double quotes, as JSON writes them, so that no word is read as a number or a date.
    """
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    lines: list[str] = []
    if isinstance(value, Mapping):
        for name, item in value.items():
            lines += _entry(f"{name if _is_plain(name) else _scalar(name)}:", item)
        return lines
    for item in value:
        below = _lines(item) if _is_block(item) else [_scalar(item)]
        lines += [f"- {below[0]}", *(f"  {line}" for line in below[1:])]
    return lines


def _entry(key: str, item: Any) -> list[str]:
    return [key, *(f"  {line}" for line in _lines(item))] if _is_block(item) else [f"{key} {_scalar(item)}"]


def _is_plain(name: str) -> bool:
    """Whether a name needs no quotes: ASCII letters with hyphens, and no word that stands for a value."""
    return re.fullmatch(r"[A-Za-z][A-Za-z_-]*", name) is not None and name.lower() not in _WORDS


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and len(value) > 0


def _scalar(value: Any) -> str:
    if isinstance(value, float) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # 1e-05 is a text to readers of YAML 1.1
    return json.dumps(printable(value) if isinstance(value, str) else value, ensure_ascii=False)
