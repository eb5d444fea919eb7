"""A defense at several places at once: `meansparse@*.bn*` stands at every module whose name fits."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from torch import nn

from advbench.defended.model import Placement, network_of
from advbench.errors import DefenseError, nearest
from advbench.names.grammar import INPUT, LOGITS

STAR: Final = "*"
"""Stands for any part of a module's name, dots included."""


def at_every_place(chain: Sequence[Placement], model: nn.Module) -> tuple[Placement, ...]:
    """The chain with a link for each module that a place with a star stands for, in the network's order.

    Args:
        chain: the defenses in their places.
        model: whose modules are meant.

    Raises:
        DefenseError: a star that no module's name fits.
    """
    names = [name for name, _ in network_of(model).named_modules() if name]
    links: list[Placement] = []
    for link in chain:
        links += [replace(link, at=name) for name in _fitting(link.at, names)] if STAR in link.at else [link]
    return tuple(links)


def _fitting(pattern: str, names: Sequence[str]) -> list[str]:
    # Only the star has a meaning; a bracket or a question mark is in no module's name.
    fitting = [name for name in names if fnmatchcase(name, pattern)]
    if not fitting:
        hint = nearest(pattern.replace(STAR, ""), [INPUT, LOGITS, *names])
        raise DefenseError(f"the model has no module that fits {pattern!r}. {hint}")
    return fitting
