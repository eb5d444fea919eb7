"""Put a state dict into a network, or say why it does not fit."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.checkpoint.read import StateDict
from advbench.errors import CheckpointError
from advbench.models.registry import MODELS
from advbench.spec import Spec

PREFIXES: Final = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and training wrappers put before every key."""

_BOOKKEEPING: Final = frozenset({"n_averaged"})  # of torch.optim.swa_utils.AveragedModel


class HeadMisfitError(CheckpointError):
    """Weights that fit but for the number of classes.

    Args:
        message: what is said of it.
        classes: how many the weights have.
    """

    def __init__(self, message: str, classes: int) -> None:
        super().__init__(message)
        self.classes = classes


class Misfit(NamedTuple):
    """How the keys of a state dict differ from a network's."""

    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]


def fit_weights(network: nn.Module, found: Sequence[tuple[str, StateDict]], path: Path, spec: Spec) -> str:
    """Load the state dict that shares most keys with the network, its prefixes stripped.

    Args:
        network: takes the weights, on the CPU.
        found: the state dicts in the file, the most likely first.
        path: the file, for the message.
        spec: the network's name and parameters, for the message.

    Returns:
        The keys that led to the state dict, `state_dict` for example; empty at the top level.

    Raises:
        CheckpointError: keys or shapes that do not fit: how many, which, and the most likely reason.
    """
    own = network.state_dict()
    variants = [(label, state) for label, whole in found for state in _stripped(whole)]
    shared = [len(own.keys() & state.keys()) for _, state in variants]
    # Where nothing fits, the barest keys tell most about what the file is.
    label, best = variants[shared.index(max(shared))] if any(shared) else variants[-1]
    best = {key: value for key, value in best.items() if key in own or key not in _BOOKKEEPING}
    misfit = _compare(own, best)
    if any(misfit):
        message, classes = _explain(misfit, own, best, path, spec), _other_head(misfit, own, best)
        raise CheckpointError(message) if classes is None else HeadMisfitError(message, classes)
    network.load_state_dict(best)
    return label


def _stripped(state: StateDict) -> Iterator[StateDict]:
    """The state dict as it is, then with one more prefix taken off its keys, as long as one is there."""
    yield state
    while True:
        prefix = next((each for each in PREFIXES if any(key.startswith(each) for key in state)), None)
        prefix = prefix or _shared_prefix(state)
        if prefix is None:
            return
        bare = {key.removeprefix(prefix): value for key, value in state.items()}
        if len(bare) < len(state):  # two keys would become one
            return
        state = bare
        yield state


def _shared_prefix(state: StateDict) -> str | None:
    """The first part of the keys where it is the same in all: some wrapper's name for the network."""
    heads = {key.partition(".")[0] for key in state if "." in key}
    (head, *others) = heads or {""}
    return f"{head}." if head and not others and all(key.startswith(f"{head}.") for key in state) else None


def _compare(own: StateDict, given: StateDict) -> Misfit:
    # Files from before PyTorch 0.4.1 have no num_batches_tracked; load_state_dict knows and fills it in.
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    reshaped = [key for key in own if key in given and own[key].shape != given[key].shape]
    return Misfit(missing, unexpected, reshaped)


def _explain(misfit: Misfit, own: StateDict, given: StateDict, path: Path, spec: Spec) -> str:
    parts = []
    if misfit.missing:
        parts.append(f"{len(misfit.missing)} missing ({_few(misfit.missing)})")
    if misfit.unexpected:
        parts.append(f"{len(misfit.unexpected)} unexpected ({_few(misfit.unexpected)})")
    if misfit.reshaped:
        shapes = [f"{key}: file {_shape(given[key])}, model {_shape(own[key])}" for key in misfit.reshaped]
        parts.append(f"{len(misfit.reshaped)} of another shape ({_few(shapes, '; ')})")
    reason = _likely_reason(misfit, own, given, spec)
    return f"{path} does not fit model '{spec}': of {len(own)} keys {', '.join(parts)}. {reason}"


def _likely_reason(misfit: Misfit, own: StateDict, given: StateDict, spec: Spec) -> str:
    if misfit.reshaped and not misfit.missing and not misfit.unexpected:
        classes = _other_head(misfit, own, given)
        if classes is not None:
            right = Spec(spec.name, {**spec.parameters, "num_classes": str(classes)})
            return f"Most likely it has {classes} classes: give --model {right}."
        return "Most likely it is a wider or narrower version of this architecture."
    other = _architecture_of(given)
    if other is not None and other != spec.name:
        return f"Most likely it belongs to another architecture: its keys are those of {other!r}."
    if not own.keys() & given.keys():
        return "Most likely it belongs to another architecture: no key is the same."
    return "Most likely it belongs to a variant of this architecture or to another version of its code."


def _other_head(misfit: Misfit, own: StateDict, given: StateDict) -> int | None:
    """How many classes the weights have, where nothing but their number differs from the network's."""
    if not misfit.reshaped or misfit.missing or misfit.unexpected:
        return None
    weights = [key for key in misfit.reshaped if given[key].dim() > 1]
    if len(weights) != 1 or given[weights[0]].shape[1:] != own[weights[0]].shape[1:]:
        return None
    return int(given[weights[0]].shape[0])


def _architecture_of(given: StateDict) -> str | None:
    """The built-in model whose keys and shapes these are, if there is one."""
    for name, entry in MODELS.items():
        with torch.device("meta"):
            own: Mapping[str, Tensor] = entry.load()().state_dict()
        if not any(_compare(own, given)):
            return name
    return None


def _few(items: list[str], separator: str = ", ") -> str:
    return separator.join(items[:3]) + (f"{separator}..." if len(items) > 3 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
