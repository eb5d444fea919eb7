"""How many images a run has shown to its model, by what for: counts as files and pages have them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

Purpose = Literal["attack", "padding", "judging", "probe", "search", "indicators", "repeated"]

PURPOSES: Final[Mapping[Purpose, str]] = {
    "attack": "by attacks, as the records' column `queries` adds up",
    "padding": "to fill batches up: copies of the last image, and images that have fallen already",
    "judging": "to judge clean images and what attacks return",
    "probe": "to check the model and its copies, and to choose the batch size",
    "search": "to grade and fit substitutes",
    "indicators": "to measure indicators of attack failure",
    "repeated": "in batches that were done again: they did not fit the memory, or a black box failed",
}
"""What images are shown for, each with its meaning; one image in one forward pass counts once."""

_MOST: Final = 1 << 62


def added_up(parts: Sequence[Mapping[Any, int]]) -> dict[str, int]:
    """Several counts as one, with a key for each purpose."""
    return {purpose: sum(part.get(purpose, 0) for part in parts) for purpose in PURPOSES}


def read_shown(entry: Any) -> dict[str, int]:
    """Counts as a file holds them, which may have been forged: what is none counts as nothing."""
    known = entry if isinstance(entry, Mapping) else {}
    counts = {purpose: known.get(purpose, 0) for purpose in PURPOSES}
    whole = all(type(count) is int and 0 <= count < _MOST for count in counts.values())
    return added_up([counts] if whole else [])


def in_words(counts: Mapping[str, int]) -> str:
    """Counts in a line, the purposes that there were; empty where nothing was shown."""
    parts = ", ".join(f"{counts[purpose]:,} {purpose}" for purpose in PURPOSES if counts[purpose])
    return f"{sum(counts.values()):,} ({parts})" if parts else ""
