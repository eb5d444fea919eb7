"""A network with its weights, as a name, a checkpoint or a caller gives it."""

import copy
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from advbench.data.images import LabelledImages
from advbench.errors import CheckpointError, ModelError
from advbench.jobs.library_model import OfLibrary
from advbench.jobs.onnx_model import load_onnx
from advbench.jobs.settings.subject import SubjectOptions
from advbench.jobs.state_digest import state_digest
from advbench.models.checkpoint.fit import HeadMisfitError
from advbench.models.checkpoint.load import Loaded, load_checkpoint
from advbench.models.network import build_network, bundled_weights, find_model
from advbench.models.onnx_file import names_onnx
from advbench.names.grammar import Spec


class Source(NamedTuple):
    """A network with its weights, and how it came to them."""

    loaded: Loaded
    entry: Any
    path: Path | None
    arguments: dict[str, Any]
    head: int | None
    notes: tuple[str, ...]
    digest: str | None = None
    """Of a module that was given, with its weights."""
    others: tuple[Loaded, ...] = ()
    """The other members, where it is an ensemble."""


def given_network(own: nn.Module, device: torch.device) -> Source:
    """A module of the caller's, copied where it is wanted on another device."""
    _check_own(own)
    tensors = itertools.chain(own.parameters(), own.buffers())
    moved = next((tensor.device for tensor in tensors), device) != device
    network = copy.deepcopy(own).to(device) if moved else own
    home = f"{type(own).__module__}.{type(own).__qualname__}"
    loaded = Loaded(network, "a module given in Python", record={"class": home})
    return Source(loaded, None, None, {}, None, (), state_digest(own))


def _check_own(model: nn.Module) -> None:
    """Refuse a module whose tensors are not there yet or pass no gradient, and one that takes no hooks.

    Raises:
        ModelError: such a module.
    """
    tensors = list(itertools.chain(model.parameters(), model.buffers()))
    if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
        raise ModelError("the model has lazy layers without weights yet: call it once, and train it.")
    if any(tensor.is_inference() for tensor in tensors):
        raise ModelError(
            "the model was made under torch.inference_mode(), and no gradient can pass it: make it outside."
        )
    traced = torch.jit.TopLevelTracedModule  # type: ignore[attr-defined]  # it is there in every version
    if isinstance(model, torch.jit.ScriptModule) and not isinstance(model, traced):
        raise ModelError(
            "a module of torch.jit takes no hooks: save it, and give checkpoint=FILE with trust_program=True."
        )


def load_network(
    options: SubjectOptions,
    spec: Spec | None,
    name: str,
    images: LabelledImages,
    device: torch.device,
    *,
    library: OfLibrary | None,
) -> Source:
    """The network with its weights; the head of a checkpoint wins over the number of classes in the data."""
    if spec is not None and names_onnx(spec.name):
        return Source(*load_onnx(options, spec, images, device), {}, None, ())
    entry = None if spec is None else find_model(spec.name)
    bundled = bundled_weights(spec) if library is None and spec else None
    path = options.checkpoint or (library.described.weights if library else bundled)
    classes, arguments = len(images.classes) or None, dict[str, Any]()
    build = partial(build_network, spec, classes, arguments) if spec else None
    check_members(options)
    if options.weights is not None and (options.untrained or path is None):
        raise CheckpointError("--weights chooses inside a checkpoint: give --checkpoint FILE.")
    head: int | None = None
    notes: tuple[str, ...] = ()
    if options.untrained and build is not None:
        loaded, path = Loaded(_untrained(build, options.seed).to(device), "untrained"), None
    elif library is not None and path is None:
        missing = library.described.missing
        raise CheckpointError(f"{name} has no weights here: {missing}; or give --checkpoint FILE.")
    elif library is not None and options.checkpoint is None and library.described.load is not None:
        weights = library.described.load()
        loaded = Loaded(weights.network.to(device), weights.source, remarks=weights.remarks)
    elif path is not None:
        load = partial(
            load_checkpoint,
            path,
            spec=spec,
            device=device,
            trust_program=options.trust_program,
            weights=options.weights,
        )
        try:
            loaded = load(build)
        except HeadMisfitError as error:
            if spec is None or "num_classes" in spec.parameters:
                raise
            head = error.classes
            arguments.clear()
            loaded = load(partial(build_network, spec, head, arguments))
            notes = (f"the checkpoint has {head} classes, the data set {classes}; its own head was built",)
    elif build is not None and entry is None:
        loaded = Loaded(build().to(device), "the factory's own weights")
    else:
        raise CheckpointError(f"model {name!r} comes without weights: give --checkpoint FILE.")
    fitting = build if head is None or spec is None else partial(build_network, spec, head, dict[str, Any]())
    others = tuple(
        load_checkpoint(
            member, fitting, spec, device, trust_program=options.trust_program, weights=options.weights
        )
        for member in options.members
    )
    return Source(loaded, entry, path, arguments, head, notes, others=others)


def check_members(options: SubjectOptions) -> None:
    """See whether several checkpoints come to an ensemble of one model.

    Raises:
        CheckpointError: there is no first one, or one is given twice.
    """
    if options.members and options.checkpoint is None:
        raise CheckpointError("--member adds to a checkpoint: give --checkpoint FILE, the first member.")
    paths = [options.checkpoint, *options.members]
    twice = next((path for place, path in enumerate(paths) if path in paths[:place]), None)
    if options.members and twice is not None:
        raise CheckpointError(f"{twice} is a member twice: its votes would count twice.")


def _untrained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
