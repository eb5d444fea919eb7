"""Texts of the command line as Python values: numbers, True, False, None, and lists of them."""

import ast
import math
import warnings
from typing import Any, Final

_LONGEST: Final = 2000  # characters of a list; of a plain number Python sets its own limit
_DEEPEST: Final = 20  # brackets within brackets
_OPENING: Final = "[({"
_CLOSING: Final = "])}"
QUOTES: Final = "'\""
_WORDS: Final = {"true": True, "false": False}


class NotLiteralError(ValueError):
    """A text that is none of these values."""


def literal(text: str) -> Any:
    """The value that a text is written as, and the text itself where it is written as none.

    Numbers are whole numbers, finite decimals and fractions like 8/255. `true` and `false` count in any case,
    `None` as Python writes it; `on`, `yes` and `none` are texts. Nothing is evaluated: a list is parsed, and
    what is no plain value in it makes the whole a text.

    Args:
        text: as it was written.
    """
    stripped = text.strip()
    if stripped == "None":
        return None
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    number = _number(stripped)
    if number is not None:
        return number
    if stripped[:1] in (*_OPENING, *QUOTES) and len(stripped) <= _LONGEST and _depth(stripped) <= _DEEPEST:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on escapes and the like, which make it a text
                return _value(ast.parse(stripped, mode="eval").body)
        except (NotLiteralError, SyntaxError, ValueError, RecursionError, MemoryError):
            return text
    return text


def closing(text: str, start: int) -> int | None:
    """Where the list, dictionary or quoted text ends that begins at `start`; None if it does not.

    Args:
        text: holds it.
        start: of its opening bracket or quote.
    """
    open_brackets: list[str] = []
    quote = ""
    for place in range(start, min(len(text), start + _LONGEST)):
        letter = text[place]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        elif letter in _OPENING:
            open_brackets.append(_CLOSING[_OPENING.index(letter)])
        elif letter in _CLOSING and (not open_brackets or open_brackets.pop() != letter):
            return None
        if not quote and not open_brackets:
            return place
    return None


def _number(text: str) -> int | float | None:
    numerator, slash, denominator = text.partition("/")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _depth(text: str) -> int:
    depth = deepest = 0
    for letter in text:
        depth += (letter in _OPENING) - (letter in _CLOSING)
        deepest = max(deepest, depth)
    return deepest


def _value(node: ast.expr) -> Any:
    """The value of a parsed expression that is made of plain values alone."""
    match node:
        case ast.Constant(value=bool() | str() | None as value):
            return value
        case ast.Constant(value=int() | float() as value) if math.isfinite(value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float())):
            value = _value(node.operand)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(op=ast.Div()):
            return _quotient(_value(node.left), _value(node.right))
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [_value(item) for item in items]
            return values if isinstance(node, ast.List) else tuple(values)
        case ast.Dict(keys=keys, values=items):
            return {_key(key): _value(value) for key, value in zip(keys, items, strict=True)}
        case _:
            raise NotLiteralError


def _key(node: ast.expr | None) -> str:
    """A key of a dictionary: a text, so that it reads back from JSON as it was."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise NotLiteralError


def _quotient(numerator: Any, denominator: Any) -> float:
    plain = all(
        isinstance(part, int | float) and not isinstance(part, bool) for part in (numerator, denominator)
    )
    try:
        value = float(numerator) / float(denominator) if plain else math.nan
    except (ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise NotLiteralError
    return value
