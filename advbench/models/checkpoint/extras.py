"""Entries of a state dict beside a network's: which may be left out, and which are parts that it lacks."""

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import torch

from advbench.models.checkpoint.match import Match
from advbench.models.checkpoint.read import StateDict
from advbench.models.registry import PIXELS, Normalization

_COUNTERS: Final = frozenset({"total_ops", "total_params", "n_averaged", "num_batches_tracked"})
"""What profilers and averages leave behind."""

_BESIDE: Final = re.compile(
    r"(^|\.)(criterion|criteria|loss|losses|loss_?fn|loss_?func|attack|attacker)[^.]*\."
)
"""Modules that training hangs onto a network, and that no logit passes."""

_MEAN: Final = re.compile(r"^(.*_)?(mean|means|mu)$")
_STD: Final = re.compile(r"^(.*_)?(std|stds|sds|sigma)$")
_MOST_CHANNELS: Final = 16
_LARGEST: Final = 2.0  # mean or std of pixels in [0, 1]; larger ones are of pixels in 0..255


class Extras(NamedTuple):
    """The entries beside a network's own."""

    harmless: list[str]
    """Bookkeeping, and modules beside the network."""
    parts: list[str]
    """What looks like layers that the network does not have."""


def extras_of(match: Match, others: Sequence[Match]) -> Extras:
    """Sort the entries beside a network's own.

    Entries under the network's own prefix are its parts, unless their names are those of counters, criteria
    or normalisers; normalisers in one of its layers are parts too. Beside the prefix lie other modules of the
    file; where they share a numbered sequence with the network, as in `0.weight` beside `1.conv.weight`,
    images or logits pass them too.

    Args:
        match: the network's entries.
        others: other complete copies of it in the file.
    """
    copies = [other.prefix for other in others if other.state is match.state and len(other.prefix) > 0]
    harmless: list[str] = []
    parts: list[str] = []
    layers = {name.partition(".")[0] for name in match.weights if "." in name}
    for key in match.rest:
        bare = match.bare.get(key, key)
        beside = _is_beside(bare, match.prefix, copies) and not _of_a_layer(bare, match.prefix, layers)
        (harmless if beside else parts).append(key)
    return Extras(harmless, parts)


def _is_beside(key: str, prefix: str, copies: Sequence[str]) -> bool:
    last = key.rpartition(".")[2]
    if last in _COUNTERS or names_normaliser(key) or _BESIDE.search(key):
        return True
    if any(key.startswith(copy) for copy in copies if not prefix.startswith(copy)):
        return True
    if key.startswith(prefix):
        return False
    parted = next(pair for pair in zip(key.split("."), prefix.split("."), strict=False) if pair[0] != pair[1])
    return not all(part.isdigit() for part in parted)


def _of_a_layer(key: str, prefix: str, layers: Collection[str]) -> bool:
    """Whether a key is named like a normaliser's and lies in a layer of the network: no pixel gets there."""
    inside = key.removeprefix(prefix)
    return names_normaliser(key) and key.startswith(prefix) and inside.partition(".")[0] in layers


def names_normaliser(key: str) -> bool:
    """Whether a key is named like the constants of a normalisation, which are never those of BatchNorm."""
    last = key.rpartition(".")[2]
    return not last.startswith("running_") and bool(_MEAN.match(last) or _STD.match(last))


class Constants(NamedTuple):
    """A normalisation that lies in a file."""

    normalization: Normalization
    keys: tuple[str, str]
    in_bytes: bool
    """Whether the constants are of pixels in 0..255, and were divided by 255."""


def normalisations_in(match: Match, own: StateDict) -> list[Constants]:
    """The constants of a normalisation beside a network that has none: the nearest to its prefix.

    Args:
        match: the network's entries.
        own: the network's state dict.

    Returns:
        One, or none; several that differ where none is nearer than another.
    """
    if any(map(names_normaliser, own)):
        return []
    nearness: dict[int, list[Constants]] = {}
    for key in match.rest:
        constants = _constants(key, match.state)
        if constants is not None:
            shared = _shared_parts(match.bare.get(key, key), match.prefix)
            group = nearness.setdefault(shared, [])
            if all(other.normalization != constants.normalization for other in group):
                group.append(constants)
    return nearness[max(nearness)] if nearness else []


def _constants(key: str, state: StateDict) -> Constants | None:
    """The normalisation whose mean a key is, if its std lies beside it."""
    home, dot, last = key.rpartition(".")
    if not (names_normaliser(key) and (named := _MEAN.match(last))):
        return None
    stem = named.group(1) or ""
    partners = (f"{home}{dot}{stem}{word}" for word in ("std", "stds", "sds", "sigma"))
    partner = next((partner for partner in partners if partner in state), None)
    if partner is None:
        return None
    mean, std = (state[name].flatten().float() for name in (key, partner))
    if len(mean) != len(std) or not 1 <= len(mean) <= _MOST_CHANNELS:
        return None
    if not (bool(torch.isfinite(torch.cat([mean, std])).all()) and bool((std > 0).all())):
        return None
    in_bytes = bool((torch.cat([mean, std]) > _LARGEST).any())
    scale = 255.0 if in_bytes else 1.0
    numbers = [tuple(_shortest(float(number) / scale) for number in part) for part in (mean, std)]
    made = Normalization(*numbers)
    trivial = set(made.mean) == {0.0} and set(made.std) == {1.0}
    return Constants(PIXELS if trivial else made, (key, partner), in_bytes)


def _shared_parts(key: str, prefix: str) -> int:
    parts = zip(key.split("."), prefix.split("."), strict=False)
    return next((count for count, (one, other) in enumerate(parts) if one != other), 0)


def _shortest(value: float) -> float:
    """The shortest decimal that is the same in float32: 0.4914, not 0.49140000343322754."""
    return (
        float(f"{value:.7g}")
        if torch.tensor(float(f"{value:.7g}")).item() == torch.tensor(value).item()
        else value
    )
