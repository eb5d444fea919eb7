"""Repositories of a model hub, in the cache of this machine; fetched only where that is asked for."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from advbench.errors import CheckpointError, DatasetError, InputError, first_line, printable
from advbench.files import sha256
from advbench.models.libraries import load_library
from advbench.models.onnx_file import digest_of_onnx, names_onnx
from advbench.regular_files import read_regular

_LARGEST_INDEX: Final = 16 << 20  # bytes of a list of files of weights
SAFE: Final = "model.safetensors"
SAFE_INDEX: Final = "model.safetensors.index.json"
PICKLED: Final = "pytorch_model.bin"
PICKLED_INDEX: Final = "pytorch_model.bin.index.json"
_DESCRIBING: Final = ("config.json", "preprocessor_config.json")
_SAFE_PARTS: Final = ("model*.safetensors", SAFE_INDEX)


def is_folder(name: str) -> bool:
    """Whether a name means a folder of this machine, whether or not it is there."""
    return Path(name).expanduser().is_dir() or name.startswith(("/", "./", "../", "~"))


def snapshot(name: str, extra: str, *, revision: str | None, download: bool) -> Path:
    """The folder of a repository's files.

    Args:
        name: `owner/name`.
        extra: that installs the library which asks.
        revision: branch, tag or commit; None for the main one.
        download: whether missing files may be fetched: the configuration, and weights in safetensors, or
            where there are none the pickled ones.

    Raises:
        CheckpointError: no such name, not in the cache, or the download failed.
    """

    def fetch(hub: Any) -> str:
        patterns = [*_DESCRIBING, *_SAFE_PARTS]
        folder: str = hub.snapshot_download(
            name, revision=revision, local_files_only=not download, allow_patterns=patterns
        )
        if download and not any(Path(folder).glob("model*.safetensors")):
            hub.snapshot_download(name, revision=revision, allow_patterns=[PICKLED])
        return folder

    return _in_cache(name, extra, fetch, download=download, fault=CheckpointError)


def dataset_snapshot(name: str, split: str, *, download: bool) -> Path:
    """The folder of a data set's parquet files.

    Args:
        name: `owner/name`.
        split: of which files may be fetched.
        download: whether they may.

    Raises:
        DatasetError: no such name, not in the cache, or the download failed.
    """

    def fetch(hub: Any) -> str:
        folder: str = hub.snapshot_download(
            name,
            repo_type="dataset",
            local_files_only=not download,
            allow_patterns=[f"*{split}*.parquet", f"*{split}*/*.parquet"],
        )
        return folder

    return _in_cache(name, "hf", fetch, download=download, fault=DatasetError)


def _in_cache(
    name: str, extra: str, fetch: Callable[[Any], str], *, download: bool, fault: type[InputError]
) -> Path:
    """What `fetch` gives, and every fault of the library, the network and the disk in a sentence."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII):
        raise fault(f"{name!r} is neither a folder nor a name like 'owner/name'.")
    hub, cache = load_library(extra, "huggingface_hub"), cache_of(extra)
    try:
        return Path(fetch(hub))
    except Exception as error:
        if download:
            raise fault(f"{name} cannot be fetched: {printable(first_line(error))}") from error
        raise fault(
            f"{name} is no folder, and not in the cache {cache}: add --download to fetch it."
        ) from error


def cache_of(extra: str) -> str:
    """Where the hub's files are kept on this machine."""
    return str(load_library(extra, "huggingface_hub.constants").HF_HUB_CACHE)


def commit_of(folder: Path) -> str:
    """The commit that a folder of the cache is a snapshot of; empty for another folder."""
    return folder.name if folder.parent.name == "snapshots" else ""


def weights_in(folder: Path) -> Path | None:
    """The one file of weights in a folder, safetensors before a pickle; an index where there are several."""
    names = (SAFE, SAFE_INDEX, PICKLED, PICKLED_INDEX)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def digest_of(weights: Path) -> str:
    """SHA-256 of a file of weights; of an index, that of the names and digests of the files that it lists.

    Of an ONNX file with external weights, that of all its files.

    Raises:
        CheckpointError: an index that is damaged, or one of its files is not there.
    """
    if names_onnx(weights.name):
        return digest_of_onnx(weights)
    if weights.suffix != ".json":
        return sha256(weights)
    try:
        names = sorted(set(json.loads(read_regular(weights, _LARGEST_INDEX))["weight_map"].values()))
        parts = [f"{name} {sha256(weights.parent / Path(name).name)}" for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{weights} is damaged, or a file that it lists is not there.") from error
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
