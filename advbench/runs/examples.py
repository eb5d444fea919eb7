"""Adversarial examples in files of their own, so that anyone can judge them again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advbench.errors import RunFolderError
from advbench.regular_files import IrregularFileError, check_regular
from advbench.results.records import RUNGS, Rung
from advbench.results.table import Cell

_ORIGIN = "origin"


class Examples(NamedTuple):
    """The adversarial examples of one batch under one rung."""

    cell: Cell
    """Whose they are: defense, attack and rung."""
    indices: Tensor
    """Dataset index of each, `(n,)` int64."""
    x_adv: Tensor
    """The examples as they were judged, `(n, c, h, w)` float32."""


def pack_examples(examples: Examples, origin: Mapping[str, str]) -> bytes:
    """The contents of a `.safetensors` file that holds them, with where they come from as its metadata."""
    tensors = {"index": examples.indices.cpu().contiguous(), "x_adv": examples.x_adv.cpu().contiguous()}
    metadata = {**examples.cell._asdict(), _ORIGIN: json.dumps(dict(origin))}
    return safetensors.torch.save(tensors, metadata)


def read_examples(path: Path) -> Examples:
    """Read one file of `adversarial/` in a run's folder.

    Raises:
        RunFolderError: damaged, or not such a file.
    """
    try:
        check_regular(path)
        with safetensors.safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, set(file.keys())
            tensors = {name: file.get_tensor(name) for name in names & {"index", "x_adv"}}
    except (FileNotFoundError, IrregularFileError) as error:
        raise RunFolderError(f"{path} is no file.") from error
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise RunFolderError(f"{path} is damaged.") from error
    if len(tensors) < 2 or not metadata.keys() >= set(Cell._fields) or metadata["rung"] not in RUNGS:
        raise RunFolderError(f"{path} holds no adversarial examples of a run.")
    indices, x_adv = tensors["index"], tensors["x_adv"]
    if (indices.dtype, x_adv.dtype) != (torch.int64, torch.float32) or indices.dim() != 1 or x_adv.dim() != 4:
        raise RunFolderError(f"{path} must hold index (n,) int64 and x_adv (n, c, h, w) float32.")
    if len(indices) != len(x_adv) or len(set(indices.tolist())) < len(indices):
        raise RunFolderError(f"{path} does not hold one example an image.")
    rung = cast("Rung", metadata["rung"])
    return Examples(Cell(metadata["defense"], metadata["attack"], rung), indices, x_adv)


def origin_of_examples(path: Path) -> dict[str, Any]:
    """Where a file of examples says that it comes from; empty where it does not say, or cannot be read."""
    try:
        check_regular(path)
        with safetensors.safe_open(path, framework="pt") as file:
            origin = json.loads((file.metadata() or {}).get(_ORIGIN, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return origin if isinstance(origin, dict) else {}
