"""From a checkpoint file to a network with its weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from advbench.errors import CheckpointError
from advbench.models.checkpoint.fit import fit_weights
from advbench.models.checkpoint.formats import Format, detect_format
from advbench.models.checkpoint.program import load_program
from advbench.models.checkpoint.read import read_state_dicts
from advbench.models.registry import Normalization
from advbench.names.grammar import Spec


class Loaded(NamedTuple):
    """A network and where its weights came from."""

    network: nn.Module
    source: str
    """How the file holds them: `state dict`, `state dict at state_dict`, `TorchScript`, ..."""
    notes: tuple[str, ...] = ()
    """What the table says of it: which of several weights were taken."""
    remarks: tuple[str, ...] = ()
    """What is said once beside it: what was left out."""
    normalization: Normalization | None = None
    """The normalisation whose constants lie beside the weights, for a network that has none of its own."""
    normalization_keys: tuple[str, ...] = ()
    """The file's entries that hold it."""
    record: Mapping[str, Any] = {}
    """What `run.json` says of the choice and of what was left out or read past."""


def load_checkpoint(
    path: Path,
    build: Callable[[], nn.Module] | None,
    spec: Spec | None,
    device: torch.device,
    *,
    trust_program: bool = False,
    weights: str | None = None,
) -> Loaded:
    """Load a checkpoint; nothing in the file is executed unless it is a trusted program.

    Args:
        path: a state dict (`.pt`, `.pth`, `.th`, `.pt.tar`, `.safetensors`), TorchScript, or `.pt2`.
        build: makes the network that takes a state dict; None if no model was named.
        spec: the network's name and parameters, for messages.
        device: where the network goes.
        trust_program: whether TorchScript and `.pt2` files may run.
        weights: which of several networks in the file is meant; None for the first that fits.

    Raises:
        CheckpointError: missing, damaged, unsafe, or not fitting.
    """
    form = detect_format(path)
    if form in (Format.TORCHSCRIPT, Format.EXPORTED):
        if weights is not None:
            raise CheckpointError(f"{path} is a {form.value} program, in which --weights can choose nothing.")
        return Loaded(load_program(path, form, device, trusted=trust_program), form.value)
    if build is None or spec is None:
        raise CheckpointError(
            f"{path} holds weights without a network. Name it: --model NAME, package.module:factory or "
            "file.py:factory."
        )
    states = read_state_dicts(path, form)
    network = build()
    fitted = fit_weights(network, states.state_dicts, path, spec, weights)
    record = fitted.record if not states.skipped else {**fitted.record, "read_past": states.skipped}
    return Loaded(
        network.to(device),
        f"state dict at {fitted.label}" if fitted.label else "state dict",
        fitted.notes,
        fitted.remarks,
        fitted.normalization,
        fitted.normalization_keys,
        record,
    )
