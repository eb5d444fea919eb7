"""Why a checkpoint does not fit a network, in one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from advbench.models.checkpoint.extras import extras_of, names_normaliser
from advbench.models.checkpoint.match import Match, matches_of
from advbench.models.checkpoint.read import StateDict
from advbench.models.libraries import names_library
from advbench.models.registry import MODELS
from advbench.names.grammar import Spec
from advbench.names.user_code import names_user_code


def explain(
    match: Match | None,
    parts: Sequence[str],
    own: StateDict,
    *,
    state_dicts: Sequence[tuple[str, StateDict]],
    path: Path,
    spec: Spec,
) -> str:
    """How many keys differ, which, and the most likely reason.

    Args:
        match: the best match; None if no key of the network is in the file.
        parts: entries of the file that look like layers which the network does not have.
        own: the network's state dict.
        state_dicts: the state dicts of the file.
        path: the file.
        spec: the network's name and parameters.
    """
    if match is None:
        _, largest = max(state_dicts, key=lambda entry: len(entry[1]))
        differences = [f"{len(own)} missing ({few(list(own))})"] if own else []
        differences.append(f"{len(largest)} unexpected ({few(list(largest))})")
    else:
        shapes = [
            f"{key}: file {_shape(match.weights[key])}, model {_shape(own[key])}" for key in match.reshaped
        ]
        counts = [
            (len(match.missing), "missing", few(list(match.missing))),
            (len(parts), "unexpected", few(parts)),
            (len(shapes), "of another shape", few(shapes, "; ")),
        ]
        differences = [f"{count} {what} ({which})" for count, what, which in counts if count]
    reason = _likely_reason(match, parts, own, state_dicts, spec)
    return f"{path} does not fit model '{spec}': of {len(own)} keys {', '.join(differences)}. {reason}"


def _likely_reason(
    match: Match | None,
    parts: Sequence[str],
    own: StateDict,
    state_dicts: Sequence[tuple[str, StateDict]],
    spec: Spec,
) -> str:
    if match is not None and match.reshaped and not match.missing and not parts:
        return _of_another_size(match, own, spec)
    other = _architecture_of(state_dicts)
    if other is not None and other != spec.name:
        return f"Most likely it belongs to another architecture: its keys are those of {other!r}."
    if match is None:
        return "Most likely it belongs to another architecture: no key is the same, under any prefix."
    if match.missing and all(map(names_normaliser, match.missing)) and not match.reshaped:
        return (
            "The network normalises by itself, and its constants are not in the file: leave the "
            "normalisation out of the network and give --mean and --std."
        )
    same = len(match.keys) - len(match.reshaped)
    which = "a variant of this architecture or another version of its code"
    if 2 * same < len(own):
        which = "another architecture or a variant of this one"
    return f"Most likely it belongs to {which}: {same} of {len(own)} keys are the same."


def _of_another_size(match: Match, own: StateDict, spec: Spec) -> str:
    """All keys are there, and some have other shapes."""
    classes = other_head(match, own)
    if classes is not None:
        right = Spec(spec.name, {**spec.parameters, "num_classes": str(classes)})
        if names_user_code(spec.name) and not names_library(spec.name):
            return (
                f"Most likely it has {classes} classes: build the network with as many, --model {right} "
                "where its factory takes num_classes."
            )
        return f"Most likely it has {classes} classes: give --model {right}."
    return "Most likely it is another size of this architecture: layers of the same names, other shapes."


def other_head(match: Match, own: StateDict) -> int | None:
    """How many classes the weights have, where nothing but their number differs from the network's."""
    if match.missing or not match.reshaped:
        return None
    given = match.weights
    weights = [key for key in match.reshaped if given[key].dim() > 1]
    counts = {given[key].shape[0] for key in match.reshaped if given[key].dim() > 0}
    if len(weights) != 1 or len(counts) != 1 or given[weights[0]].shape[1:] != own[weights[0]].shape[1:]:
        return None
    return int(counts.pop())


def _architecture_of(state_dicts: Sequence[tuple[str, StateDict]]) -> str | None:
    """The built-in model whose keys and shapes are in a file, if there is one."""
    for name, entry in MODELS.items():
        with torch.device("meta"):
            own: Mapping[str, Tensor] = entry.load()().state_dict()
        complete = [match for match in matches_of(own, state_dicts) if match.complete]
        if any(not extras_of(match, complete).parts for match in complete):
            return name
    return None


def few(items: Sequence[str], separator: str = ", ") -> str:
    """The first three, and whether there are more."""
    return separator.join(items[:3]) + (f"{separator}..." if len(items) > 3 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
