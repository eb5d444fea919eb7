"""Models of other libraries by their names: `timm:NAME` and `hf:NAME`, whose preprocessing is their own."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from torch import nn

from advbench.errors import InputError, ModelError, first_line, printable
from advbench.models.preparation import Preparation
from advbench.names.grammar import Spec

_HOMES: Final[Mapping[str, str]] = {
    "timm": "advbench.models.of_timm",
    "hf": "advbench.models.of_transformers",
}


class Weights(NamedTuple):
    """A network with the weights that its library gave it."""

    network: nn.Module
    source: str
    remarks: tuple[str, ...] = ()


class Described(NamedTuple):
    """A model of a library before its weights are read.

    Args:
        library: its name and version.
        preparation: how it prepares pictures.
        labels: names of classes and the output that each stands for.
        outputs: how many it has.
        revision: of a repository, by its commit.
        build: makes the network, untrained, for a number of classes; None for the model's own number.
        weights: the file that holds its weights; None where there is none.
        missing: where weights were looked for, where there are none.
        load: the network with the weights of its own folder; None where the file is a plain state dict.
    """

    library: str
    preparation: Preparation
    labels: tuple[tuple[str, int], ...]
    outputs: int
    revision: str
    build: Callable[[int | None], nn.Module]
    weights: Path | None
    missing: str
    load: Callable[[], Weights] | None = None


def names_library(name: str) -> bool:
    """Whether a model's name is one of a library's: `timm:resnet18`, `hf:folder`."""
    return name.partition(":")[0] in _HOMES


def describe_model(spec: Spec, *, download: bool = False, own_weights: bool = True) -> Described:
    """What a library says of one of its models.

    Args:
        spec: `timm:NAME` or `hf:NAME`, with parameters.
        download: whether what is not on this machine may be fetched.
        own_weights: whether the model's own weights are looked for.

    Raises:
        InputError: the library is not installed, has no such model, or it is not on this machine.
    """
    module = importlib.import_module(_HOMES[spec.name.partition(":")[0]])
    described: Described = module.described(spec, download=download, own_weights=own_weights)
    return described


def load_library(extra: str, module: str) -> ModuleType:
    """Import a library.

    Args:
        extra: that installs it.
        module: its name.

    Raises:
        InputError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # another library's code may raise anything
        top = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == top:
            raise InputError(f"{top} is not installed: pip install 'advbench[{extra}]'") from None
        raise InputError(f"{top} cannot be imported: {printable(first_line(error))}") from error


def member_of(spec: Spec, *known: str) -> str:
    """What stands behind the library's name, its parameters checked.

    Raises:
        ModelError: a place, or a parameter that is not among the known ones.
    """
    unknown = next((name for name in spec.parameters if name not in known), None)
    if unknown is not None:
        raise ModelError(f"{spec.name} has no parameter {unknown!r}. Known: {', '.join(known)}.")
    return spec.name.partition(":")[2]


def attempted(what: str, make: Callable[[], Any]) -> Any:
    """What a library makes; its errors in one line.

    Raises:
        ModelError: it failed.
    """
    try:
        return make()
    except Exception as error:  # a library's code may raise anything
        raise ModelError(f"{what}: {type(error).__name__}: {printable(first_line(error))}") from error
