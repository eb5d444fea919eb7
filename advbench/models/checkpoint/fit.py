"""Put the state dict of a file that belongs to a network into it, or say why none does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from advbench.errors import CheckpointError, nearest
from advbench.models.checkpoint.extras import Constants, extras_of, normalisations_in
from advbench.models.checkpoint.match import TOP, Match, matches_of
from advbench.models.checkpoint.misfit import explain, few, other_head
from advbench.models.checkpoint.read import StateDict
from advbench.models.registry import Normalization
from advbench.names.grammar import Spec

_RECORDED = 50  # names of entries that are left out


class HeadMisfitError(CheckpointError):
    """Weights that fit but for the number of classes.

    Args:
        message: what is said of it.
        classes: how many the weights have.
    """

    def __init__(self, message: str, classes: int) -> None:
        super().__init__(message)
        self.classes = classes


class Fitted(NamedTuple):
    """Which weights a network got, and what else lay beside them."""

    label: str
    """The keys that led to the state dict, `state_dict` for example; empty at the top level."""
    notes: tuple[str, ...]
    """What the table says of it: a choice that was made, a normalisation that was not."""
    remarks: tuple[str, ...]
    """What is said once beside it: entries that were left out."""
    normalization: Normalization | None
    """The constants of a normalisation that lay beside the weights, for a network that has none."""
    normalization_keys: tuple[str, ...]
    record: dict[str, Any]
    """The same for `run.json`."""


def fit_weights(
    network: nn.Module,
    state_dicts: Sequence[tuple[str, StateDict]],
    path: Path,
    spec: Spec,
    weights: str | None = None,
) -> Fitted:
    """Load the weights whose keys and shapes are the network's, whatever prefix they have.

    Args:
        network: takes the weights, on the CPU.
        state_dicts: the state dicts in the file, the most likely first.
        path: the file, for the message.
        spec: the network's name and parameters, for the message.
        weights: which of several to take; None for the first that fits.

    Raises:
        CheckpointError: keys or shapes that do not fit: how many, which, and the most likely reason; or no
            weights of the name.
    """
    own = network.state_dict()
    matches = matches_of(own, state_dicts)
    if weights is not None:
        matches = _named(matches, state_dicts, weights, path)
    complete = [match for match in matches if match.complete]
    sorted_out = [(match, extras_of(match, complete)) for match in complete]
    fitting = [(match, extras) for match, extras in sorted_out if not extras.parts]
    if not fitting:
        best = matches[0] if matches else None
        parts = extras_of(best, complete).parts if best else []
        message = explain(best, parts, own, state_dicts=state_dicts, path=path, spec=spec)
        classes = None if best is None or parts else other_head(best, own)
        raise CheckpointError(message) if classes is None else HeadMisfitError(message, classes)
    match, extras = fitting[0]
    _check_numbers(match, own, path)
    network.load_state_dict(dict(match.weights))
    different = [other for other, _ in fitting[1:] if not _same(other, match)]
    others = [other.name for other in different]
    constants = normalisations_in(match, own)
    used = set(constants[0].keys) if len(constants) == 1 else set()
    known_keys = used.union(*(other.keys.values() for other in different if other.state is match.state))
    left_out = [key for key in extras.harmless if key not in known_keys]
    notes = _notes(match, others, constants, path, chosen=weights is not None)
    remarks = (_left_out(left_out, path),) if left_out else ()
    record: dict[str, Any] = {"weights": match.name}
    if others:
        record["other_weights"] = others
    if left_out:
        record["left_out"] = {"count": len(left_out), "entries": left_out[:_RECORDED]}
    return Fitted(
        match.label,
        notes,
        remarks,
        constants[0].normalization if len(constants) == 1 else None,
        constants[0].keys if len(constants) == 1 else (),
        record,
    )


def _check_numbers(match: Match, own: StateDict, path: Path) -> None:
    """Refuse weights that would become others in silence: quantised ones without their scale, complex ones.

    Raises:
        CheckpointError: such a weight.
    """
    for key, weight in match.weights.items():
        unlike = weight.is_complex() or weight.dtype in (torch.int8, torch.uint8)
        if unlike and own[key].is_floating_point():
            kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in (weight, own[key])]
            raise CheckpointError(
                f"{path} holds {kinds[0]} numbers as {key}, where the network has {kinds[1]}: save weights "
                "that are turned back into real numbers."
            )


def _left_out(keys: Sequence[str], path: Path) -> str:
    entries = "1 entry" if len(keys) == 1 else f"{len(keys)} entries"
    return f"{path.name}: {entries} beside the network left out: {few(keys)}"


def _named(
    matches: Sequence[Match], state_dicts: Sequence[tuple[str, StateDict]], weights: str, path: Path
) -> list[Match]:
    """The matches of a name, or below it.

    Raises:
        CheckpointError: there are none.
    """
    exact = [match for match in matches if match.name == weights]
    named = exact or [match for match in matches if match.name.startswith(f"{weights}.")]
    if named or any(label == weights for label, _ in state_dicts):
        return named
    known = dict.fromkeys(match.name for match in matches if match.complete)
    known = known or dict.fromkeys(label or TOP for label, _ in state_dicts)
    raise CheckpointError(f"{path} has no weights called {weights!r}. {nearest(weights, known)}")


def _same(one: Match, other: Match) -> bool:
    """Whether two matches hold the same numbers."""
    weights, others = one.weights, other.weights
    return weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


def _notes(
    match: Match,
    others: Sequence[str],
    constants: Sequence[Constants],
    path: Path,
    *,
    chosen: bool,
) -> tuple[str, ...]:
    notes = []
    if others and not chosen:
        notes.append(
            f"{path.name} holds {len(others) + 1} networks that fit; {match.name} is taken, not "
            f"{few(others)} (--weights NAME takes another)"
        )
    if len(constants) > 1:
        first_keys = few([constant.keys[0] for constant in constants])
        notes.append(
            f"{path.name} holds {len(constants)} normalisations that differ ({first_keys}), and none of "
            "them was taken"
        )
    if len(constants) == 1 and constants[0].in_bytes:
        notes.append(
            f"{path.name}: {constants[0].keys[0]} is of pixels in 0..255; it was divided by 255, and so was "
            f"{constants[0].keys[1]}"
        )
    return tuple(notes)
