"""State dicts out of files, without running anything that the file says."""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advbench.checkpoint.formats import Format, damaged
from advbench.errors import CheckpointError

StateDict = Mapping[str, Tensor]

WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "ema",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
)
"""Keys under which training scripts keep the state dict, the most usual first."""

_DEEPEST = 3  # wrappers inside wrappers


def read_state_dicts(path: Path, form: Format) -> list[tuple[str, StateDict]]:
    """Every state dict in a file, the most likely first, each with the keys that lead to it.

    Pickles are read with `weights_only=True`, which refuses anything but tensors and plain containers.

    Raises:
        CheckpointError: a file that is damaged, wants to run code, or holds no state dict.
    """
    content = _read_safetensors(path) if form is Format.SAFETENSORS else _read_pickle(path)
    found = list(_search(content, ""))
    if not found:
        keys = (
            ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        )
        raise CheckpointError(
            f"{path} holds no state dict that could be found (top level: {keys or 'nothing'}). Save one with "
            "torch.save(model.state_dict(), FILE)."
        )
    return found


def _search(content: Any, label: str, depth: int = 0) -> Iterator[tuple[str, StateDict]]:
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {
        key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)
    }
    inside = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    others = [key for key, value in content.items() if isinstance(value, Mapping) and key not in WRAPPERS]
    for key in [*inside, *others]:
        yield from _search(content[key], f"{label}.{key}".lstrip("."), depth + 1)
    if tensors:
        yield label, tensors


def _read_safetensors(path: Path) -> StateDict:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(damaged(path)) from error


def _read_pickle(path: Path) -> Any:
    try:
        # An open file: torch would judge a path by its ending.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on pickle protocols; a refusal says it better
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_why_refused(path, str(error))) from error
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise CheckpointError(damaged(path)) from error


def _why_refused(path: Path, message: str) -> str:
    """What torch's restricted unpickler did not accept, told apart by its message."""
    if "Unsupported operand" in message:
        return (
            f"{path} is damaged, or a pickle of protocol 4 or later, which cannot be read without running "
            "it. Save it again with torch.save and its default protocol."
        )
    wanted = re.search(r"(?:Unsupported global: GLOBAL|Unsupported class|GLOBAL) ([\w.]+)", message)
    if wanted is None and "nsupported" not in message and "not allowed" not in message:
        return damaged(path)
    what = wanted.group(1) if wanted else "more than tensors"
    return (
        f"{path} holds pickled code ({what}), not only weights; "
        "it was not run, since unpickling it could do anything on this machine. Where you trust its origin, "
        "take the weights out yourself: torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW), "
        "or its ['state_dict'] if it holds a dictionary."
    )
