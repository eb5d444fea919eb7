"""Where in a state dict a network's keys lie: under no prefix, one, or several."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from advbench.models.checkpoint.read import StateDict

TOP: Final = "."
"""The name of weights that lie at a file's top level, under no prefix."""

_WRAPPED: Final = frozenset({"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
"""What DataParallel, torch.compile and the like put before the keys of a part of a network."""

_DEEPEST: Final = 32  # parts of a key
_UNCOUNTED: Final = "num_batches_tracked"  # absent before PyTorch 0.4.1; load_state_dict fills it in
_LATER: Final = re.compile(
    r"(^|[._])(ema|avg|average|averaged|swa|teacher|momentum|attack|attacker|target|encoder_k|key_encoder)([._]|$)"
)
"""What names a copy of a network beside the network: its average, the teacher, the attacker's."""


@dataclass(frozen=True)
class Match:
    """A network's keys in a state dict, under one prefix.

    Args:
        label: the keys that lead to the state dict, joined by dots; empty at the top level.
        prefix: what stands before the network's keys, with its dot.
        state: the whole state dict.
        keys: the state dict's key for each of the network's that is there.
        bare: each key of the state dict without the wrappers inside it.
        missing: keys of the network that are not there.
        reshaped: keys that are there with another shape.
    """

    label: str
    prefix: str
    state: StateDict
    keys: Mapping[str, str]
    bare: Mapping[str, str]
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]

    @property
    def name(self) -> str:
        """What `--weights` calls it."""
        return ".".join(part for part in (self.label, self.prefix.rstrip(".")) if part) or TOP

    @property
    def complete(self) -> bool:
        """Whether every key of the network is there with its shape."""
        return bool(self.keys) and not self.missing and not self.reshaped

    @property
    def weights(self) -> StateDict:
        """The network's state dict."""
        return {own: self.state[key] for own, key in self.keys.items()}

    @property
    def rest(self) -> list[str]:
        """The state dict's other keys."""
        used = set(self.keys.values())
        return [key for key in self.state if key not in used]


def matches_of(own: StateDict, state_dicts: Sequence[tuple[str, StateDict]]) -> list[Match]:
    """Every place where keys of a network lie, the best first.

    Complete ones lead, a network before its copies (averages, teachers, attackers), then those sharing most.

    Args:
        own: the network's state dict; its values may be on the meta device.
        state_dicts: the state dicts of a file, the most likely first.
    """
    matches = [match for label, state in state_dicts for match in _matches_in(own, label, state)]
    return sorted(
        matches,
        key=lambda match: (
            not match.complete,
            bool(_LATER.search(match.name.lower())) if match.complete else 0,
            0 if match.complete else len(match.reshaped) - len(match.keys),
            0 if match.complete else len(match.missing),
        ),
    )


def _matches_in(own: StateDict, label: str, state: StateDict) -> list[Match]:
    plain = [_match(own, label, state, prefix, keys) for prefix, keys in _places(own, state.keys())]
    if any(match.complete for match in plain):
        return plain
    bare = {_unwrapped(key): key for key in state}
    if len(bare) < len(state) or bare.keys() == state.keys():  # two keys would become one, or none changes
        return plain
    back = {key: short for short, key in bare.items()}
    return plain + [
        _match(own, label, state, prefix, {name: bare[key] for name, key in keys.items()}, bare=back)
        for prefix, keys in _places(own, bare.keys())
    ]


def _match(
    own: StateDict,
    label: str,
    state: StateDict,
    prefix: str,
    keys: Mapping[str, str],
    *,
    bare: Mapping[str, str] = MappingProxyType({}),
) -> Match:
    missing = tuple(key for key in own if key not in keys and not key.endswith(_UNCOUNTED))
    reshaped = tuple(key for key in own if key in keys and own[key].shape != state[keys[key]].shape)
    return Match(label, prefix, state, keys, bare, missing, reshaped)


def _places(own: StateDict, keys: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
    """Prefixes under which keys of the network are found, and which: those with most keys, shortest first."""
    places: dict[str, dict[str, str]] = {}
    for key in keys:
        for start in _starts(key):
            if key[start:] in own:
                places.setdefault(key[:start], {})[key[start:]] = key
    return sorted(places.items(), key=lambda place: (-len(place[1]), len(place[0])))


def _starts(key: str) -> Iterator[int]:
    """Where the parts of a key begin."""
    yield 0
    start = 0
    for _ in range(_DEEPEST):
        start = key.find(".", start) + 1
        if not start:
            return
        yield start


def _unwrapped(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPED)
