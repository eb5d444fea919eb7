"""State dicts out of files, without running anything that the file says."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advbench.errors import CheckpointError, printable
from advbench.models.checkpoint.archive import Contents, NoTorchFileError, archive_contents, legacy_contents
from advbench.models.checkpoint.formats import Format, damaged
from advbench.models.checkpoint.notes import INERT, Name, TensorNote
from advbench.models.checkpoint.search import Search, state_dicts_in
from advbench.models.checkpoint.unpickle import CodeError
from advbench.regular_files import check_regular

StateDict = Mapping[str, Tensor]

_SHOWN = 8


class States(NamedTuple):
    """What a file holds."""

    state_dicts: list[tuple[str, StateDict]]
    """Every state dict with the keys that lead to it, the most likely first."""
    skipped: dict[str, int]
    """What else a pickle names, and how often: it was not imported, and nothing was made of it."""


def read_state_dicts(path: Path, form: Format) -> States:
    """Every state dict in a file.

    Raises:
        CheckpointError: a file that is damaged, wants to run code, or holds no state dict.
    """
    if form is Format.SAFETENSORS:
        return States([("", _read_safetensors(path))], {})
    try:
        with (archive_contents if form is Format.PICKLE else legacy_contents)(path) as contents:
            return _states_of(contents, path)
    except (CheckpointError, torch.OutOfMemoryError):
        raise
    except CodeError as error:
        raise CheckpointError(_pickled_code(path, str(error))) from error
    except NoTorchFileError as error:
        raise CheckpointError(
            f"{path} is a pickle that torch.save did not write{_beside(str(error))}. Save the weights with "
            "torch.save(model.state_dict(), FILE)."
        ) from error
    except Exception as error:  # a damaged pickle can make the reader raise anything
        raise CheckpointError(damaged(path)) from error


def _states_of(contents: Contents, path: Path) -> States:
    search = state_dicts_in(contents.content)
    if not search.state_dicts:
        raise CheckpointError(_nothing_in(path, contents, search))
    read: list[tuple[str, StateDict]] = [
        (label, {key: contents.tensor(note) for key, note in notes.items()})
        for label, notes in search.state_dicts
    ]
    return States(read, contents.skipped)


def _read_safetensors(path: Path) -> StateDict:
    try:
        check_regular(path)
        read = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(damaged(path)) from error
    if not read:
        raise CheckpointError(f"{path} holds no state dict: it has no tensors.")
    return read


def _beside(names: str) -> str:
    return f" (it names {printable(names)[:200]}; it was not run)" if names else ""


def _nothing_in(path: Path, contents: Contents, search: Search) -> str:
    content, skipped = contents.content, [printable(name)[:80] for name in contents.skipped]
    if content is INERT or isinstance(content, Name) or (skipped and not search.tensors):
        return _pickled_code(path, ", ".join(skipped[:3]) or printable(str(content))[:80])
    keys = [printable(str(key))[:40] for key in list(content)[:_SHOWN]] if isinstance(content, dict) else []
    top = ", ".join(keys) or ("a tensor" if isinstance(content, TensorNote) else type(content).__name__)
    deeper = f" It nests more than {search.deepest} deep, and was searched as far." if search.deeper else ""
    return (
        f"{path} holds no state dict that could be found (top level: {top}).{deeper} Save one with "
        "torch.save(model.state_dict(), FILE)."
    )


def _pickled_code(path: Path, what: str) -> str:
    return (
        f"{path} holds pickled code ({what}), not only weights; "
        "it was not run, since unpickling it could do anything on this machine. Where you trust its origin, "
        "take the weights out yourself: torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW), "
        "or its ['state_dict'] if it holds a dictionary."
    )
