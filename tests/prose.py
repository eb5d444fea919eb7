"""The sentences of a page, without what is code, a table, a heading or output."""

import re
from collections.abc import Iterator

_FENCED = re.compile(r"^ *```.*?^ *```\n?", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_CODE = re.compile(r"`[^`]+`")
_SPACE = "\0"  # in code, where no sentence ends
_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) ")
_SENTENCE = re.compile(r"(?<=[.?!:])\s+(?=[\"A-Z`*\[(])")
_SHORT_FORMS = re.compile(r"\b(et al|e\.g|i\.e|vs|Fig|Eq)\.")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page in their order; an item of a list begins a sentence."""
    for paragraph in _paragraphs(_COMMENT.sub("", _FENCED.sub("\n", text))):
        plain = _SHORT_FORMS.sub(r"\1", _LINK.sub(r"\1", paragraph))
        whole = _CODE.sub(lambda code: code[0].replace(" ", _SPACE), plain)
        yield from (sentence.replace(_SPACE, " ") for sentence in _SENTENCE.split(whole) if sentence)


def words(sentence: str) -> list[str]:
    """The words of a sentence; what stands in code is one word."""
    return re.findall(r"[\w'’-]+", _CODE.sub("code", sentence))


def _paragraphs(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in (*text.splitlines(), ""):
        if not line.strip() or line.startswith(("#", "|")) or _ITEM.match(line):
            if lines:
                yield " ".join(lines)
            lines = []
        if line.strip() and not line.startswith(("#", "|")) and not line.lstrip().startswith("|"):
            lines.append(_ITEM.sub("", line).strip())
