"""The words for how a model that adapts at test time is judged: in which batches, and from which state."""

import re
from collections.abc import Iterable
from typing import Final, Literal, get_args

from advbench.errors import SpecError, nearest
from advbench.names.grammar import Spec, parse_chain, parse_spec

Protocol = Literal["episodic", "stream"]
Attackers = Literal["batch", "one"]

_LARGEST: Final = 100_000


def adaptation_word(protocol: Protocol, text: str) -> str:
    """The element of a chain that `64`, or `batch=64,attacked=one`, is behind `--episodic` or `--stream`.

    Raises:
        SpecError: something else.
    """
    spec = Spec(protocol, {"batch": text.strip()}) if "=" not in text else parse_spec(f"{protocol}:{text}")
    batch, attacked = declared(spec)
    return str(Spec(protocol, {"batch": str(batch), **({} if attacked == "batch" else {"attacked": "one"})}))


def is_adaptation(spec: Spec) -> bool:
    """Whether an element of a chain says how an adapting model is judged."""
    return spec.name in get_args(Protocol)


def adapts(defenses: Iterable[str]) -> bool:
    """Whether one of some defenses does; what cannot be read is told elsewhere."""
    return any(_adapts(text) for text in defenses)


def _adapts(text: str) -> bool:
    try:
        return any(map(is_adaptation, parse_chain(text)))
    except SpecError:
        return False


def declared_batch(defense: str) -> int:
    """How many images a declared batch has, by a row's name; 0 where its model does not adapt."""
    return declared(parse_spec(defense))[0] if adapts([defense]) else 0


def declared(spec: Spec) -> tuple[int, Attackers]:
    """How many images a declared batch has, and how many of them an attack may change.

    Raises:
        SpecError: a place, no number of images, or other parameters.
    """
    if spec.place is not None:
        raise SpecError(f"{spec.name} is how the whole model is judged and has no place, got '{spec}'.")
    known = ("batch", "attacked")
    for name in spec.parameters:
        if name not in known:
            raise SpecError(f"{spec.name} has no parameter {name!r}. {nearest(name, known)}")
    text, attacked = spec.parameters.get("batch", ""), spec.parameters.get("attacked", "batch")
    if not re.fullmatch(r"[1-9]\d{0,5}", text, re.ASCII) or int(text) > _LARGEST:
        raise SpecError(
            f"{spec.name} needs the number of images in a batch, like {spec.name}:batch=64, from 1 to "
            f"{_LARGEST:,}; got {text!r:.40}."
        )
    if attacked not in get_args(Attackers):
        raise SpecError(f"{spec.name}: attacked must be batch or one, got {attacked!r:.40}.")
    return int(text), "one" if attacked == "one" else "batch"
