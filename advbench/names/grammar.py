"""The grammar of the command line: `NAME[:key=value,...][@place]`, chained with `+`.

A value may be a list, a tuple, a dictionary or a quoted text, in which nothing separates.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from advbench.errors import SpecError
from advbench.names.literals import QUOTES, closing

INPUT = "input"
LOGITS = "logits"
REFUSE = "refuse"
"""`score@refuse` is a detector of images, `score@refuse:layer3` one of what passes a place."""
HEAD = "head"
"""`nearest@head` classifies by the logits, `nearest@head:layer3` by what passes a place."""


@dataclass(frozen=True)
class Spec:
    """One element as it was written: a name, its parameters as text, and its place."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None

    def __str__(self) -> str:
        """The element as it would be written."""
        parameters = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        body = f"{self.name}:{parameters}" if parameters else self.name
        return body if self.place is None else f"{body}@{self.place}"


def parse_spec(text: str) -> Spec:
    """Read `NAME[:key=value,...][@place]`.

    Parameters begin behind the first colon that a `key=` follows; what is before belongs to the name, so that
    `package.module:factory` and `path/file.py:factory:key=value` are names too, and a value may be one.

    Raises:
        SpecError: an empty name or place, or parameters that are not `key=value`.
    """
    whole = text.strip()
    shown = _outside_values(whole)
    at = shown.find("@")
    body, place = (whole, None) if at < 0 else (whole[:at], whole[at + 1 :].strip())
    if place is not None and not place:
        raise SpecError(f"{text!r} names no place after '@'. Write for example 'round@layer2'.")
    begin = _PARAMETERS.search(shown, 0, len(body))
    colon = shown.rfind(":", 0, len(body)) if begin is None else begin.start()
    has_parameters = colon >= 0 and "=" in shown[colon : len(body)]
    head, tail = (body[:colon], body[colon + 1 :]) if has_parameters else (body, "")
    name = head.strip()
    if not name or name.endswith(":"):
        raise SpecError(f"{text!r} has no name, or nothing after ':'. Write NAME[:key=value,...][@place].")
    return Spec(name, _parse_parameters(tail, text) if tail else {}, place)


_PARAMETERS = re.compile(r":\s*[\w-]+\s*=")
"""Where parameters begin."""


def detector_place(spec: Spec) -> str | None:
    """The place that a detector reads; None of an element that is no detector.

    Raises:
        SpecError: no place after the colon.
    """
    return _read_place(spec, REFUSE, INPUT)


def head_place(spec: Spec) -> str | None:
    """The place whose features a head reads; None of an element that is no head.

    Raises:
        SpecError: no place after the colon.
    """
    return _read_place(spec, HEAD, LOGITS)


def _read_place(spec: Spec, role: str, usual: str) -> str | None:
    head, colon, place = (spec.place or "").partition(":")
    if head != role:
        return None
    if colon and not place.strip():
        raise SpecError(
            f"'{spec}' names no place after '{role}:'. Write for example '{spec.name}@{role}:layer3'."
        )
    return place.strip() or usual


def as_detector(text: str) -> str:
    """The element of a chain that `NAME[:key=value,...][@place]` is as a detector.

    Raises:
        SpecError: it cannot be read, or is a chain.
    """
    return _in_role(text, REFUSE, INPUT, "detector")


def as_head(text: str) -> str:
    """The element of a chain that `NAME[:key=value,...][@place]` is as a head.

    Raises:
        SpecError: it cannot be read, or is a chain.
    """
    return _in_role(text, HEAD, LOGITS, "head")


def _in_role(text: str, role: str, usual: str, what: str) -> str:
    elements = split_chain(text)
    if len(elements) > 1:
        raise SpecError(f"a {what} is no chain, got {text!r}; give several with --defense a@{role}+b@{role}.")
    spec = parse_spec(elements[0])
    if _read_place(spec, role, usual) is not None:
        return str(spec)
    at = role if spec.place in (None, usual) else f"{role}:{spec.place}"
    return str(Spec(spec.name, spec.parameters, at))


def has_detector(text: str) -> bool:
    """Whether one of a chain's elements is a detector."""
    return any(detector_place(spec) is not None for spec in parse_chain(text))


def reject_of(text: str) -> int | None:
    """Which output of a model refuses; None where logits that are NaN do.

    Raises:
        SpecError: neither the number of a class nor `nan`.
    """
    if text == "nan":
        return None
    if not re.fullmatch(r"0|[1-9]\d{0,6}", text, re.ASCII):
        raise SpecError(f"--reject-class must be the number of a class, or nan, got {text!r:.60}.")
    return int(text)


def reject_word(text: str) -> str:
    """The element of a chain for a model that refuses by its own outputs.

    Raises:
        SpecError: neither the number of a class nor `nan`.
    """
    reject = reject_of(text)
    name = "reject-nan" if reject is None else f"reject-class:reject={reject}"
    return f"{name}@{REFUSE}:outputs"


def parse_chain(text: str) -> tuple[Spec, ...]:
    """Read `SPEC+SPEC+...`; each element has its own parameters and its own place.

    Raises:
        SpecError: an element that is empty or cannot be read.
    """
    return tuple(parse_spec(element) for element in split_chain(text))


def split_chain(text: str) -> tuple[str, ...]:
    """The elements of `A+B+...`.

    Raises:
        SpecError: an element that is empty.
    """
    places = [match.start() for match in _BETWEEN.finditer(_outside_values(text))]
    elements = tuple(part.strip() for part in _cut(text, places))
    if not all(elements):
        raise SpecError(
            f"{text!r} has an empty element beside a '+'. Write for example 'bit-depth:bits=4+round'."
        )
    return elements


_BETWEEN = re.compile(r"\+(?!\d)")
"""A plus between elements; one before a digit belongs to a number, as in `1e+3`."""


def parse_number(text: str, what: str) -> float:
    """Read `0.03` or `8/255`.

    Args:
        text: the number as it was written.
        what: its name in the error message.

    Raises:
        SpecError: not a finite number.
    """
    numerator, slash, denominator = text.strip().partition("/")
    try:
        value = float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f"{what} must be a number like 0.03 or 8/255, got {text!r}.")
    return value


def _outside_values(text: str) -> str:
    """The text with every list, dictionary and quoted text after a `=` blanked out, of the same length."""
    shown, reached = list(text), 0
    for match in _VALUE.finditer(text):
        start = match.end() - 1
        end = closing(text, start) if start >= reached else None
        if end is not None:
            shown[start : end + 1] = "_" * (end + 1 - start)
            reached = end + 1
    return "".join(shown)


_VALUE = re.compile(rf"=\s*[\[({{{QUOTES}]")
"""Where a value begins that may hold what separates elsewhere."""


def _cut(text: str, places: Sequence[int]) -> Iterator[str]:
    """The parts of a text between letters at some places."""
    start = 0
    for place in (*places, len(text)):
        yield text[start:place]
        start = place + 1


def _parse_parameters(text: str, whole: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    commas = [place for place, letter in enumerate(_outside_values(text)) if letter == ","]
    for item in _cut(text, commas):
        key, equals, value = (part.strip() for part in item.partition("="))
        key = key.replace("-", "_")
        if not (key and equals and value):
            raise SpecError(f"{whole!r}: parameters are written key=value,key=value, got {item.strip()!r}.")
        if key in parameters:
            raise SpecError(f"{whole!r} gives {key} twice.")
        parameters[key] = value
    return parameters
