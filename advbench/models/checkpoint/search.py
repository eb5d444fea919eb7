"""State dicts among whatever else a checkpoint keeps, each looked at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from advbench.models.checkpoint.notes import TensorNote

WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "ema",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
)
"""Keys under which training scripts keep the state dict, the most usual first."""

_DEEPEST = 12  # wrappers inside wrappers
_LONGEST_LIST = 1000  # items of a list that are looked at: a log of losses may have millions


@dataclass
class Search:
    """What a search for state dicts has come upon.

    Args:
        state_dicts: state dicts with the keys that lead to them; one inside another comes first.
        tensors: how many tensors there were, in state dicts or not.
        deeper: whether there was more below the deepest level that is looked at.
        deepest: that level.
    """

    state_dicts: list[tuple[str, dict[str, TensorNote]]] = field(default_factory=list)
    tensors: int = 0
    deeper: bool = False
    deepest: int = _DEEPEST


def state_dicts_in(content: Any) -> Search:
    """Every dictionary that holds tensors under texts.

    Each container is looked at once, however many ways lead to it, so that the time is linear in the file.

    Args:
        content: what a pickle holds; it may refer to itself.
    """
    search = Search()
    _look(content, "", 0, search, set())
    return search


def _look(content: Any, label: str, depth: int, search: Search, seen: set[int]) -> None:
    if isinstance(content, TensorNote):
        search.tensors += 1
        return
    if not isinstance(content, dict | list | tuple) or id(content) in seen:
        return
    if depth > _DEEPEST:
        search.deeper = True
        return
    seen.add(id(content))
    for key, inner in _inside(content):
        _look(inner, f"{label}.{key}".lstrip("."), depth + 1, search, seen)
    if isinstance(content, dict):
        notes = {
            key: item
            for key, item in content.items()
            if isinstance(key, str) and isinstance(item, TensorNote)
        }
        if notes:
            search.state_dicts.append((label, notes))


def _inside(content: Any) -> Iterator[tuple[str, Any]]:
    """What a container holds, the likely keys first; tuples of plain data are not told apart from lists."""
    if not isinstance(content, dict):
        yield from ((str(number), item) for number, item in enumerate(content[:_LONGEST_LIST]))
        return
    likely = [key for key in WRAPPERS if key in content]
    yield from ((key, content[key]) for key in likely)
    yield from ((str(key), item) for key, item in content.items() if key not in likely)
