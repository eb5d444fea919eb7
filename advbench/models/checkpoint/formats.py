"""What kind of file a checkpoint is, told by its contents and never by its name."""

import zipfile
from enum import Enum
from pathlib import Path

from advbench.errors import CheckpointError
from advbench.files import bomb_in
from advbench.models.checkpoint.foreign import HEAD, foreign_archive, foreign_folder, foreign_kind
from advbench.regular_files import open_regular


class Format(Enum):
    """The kinds of checkpoint that can be told apart."""

    PICKLE = "torch.save"
    LEGACY = "torch.save, before PyTorch 1.6"
    SAFETENSORS = "safetensors"
    TORCHSCRIPT = "TorchScript"
    EXPORTED = "torch.export"


_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"  # the PROTO opcode, with which every pickle since protocol 2 begins


def detect_format(path: Path) -> Format:
    """Look at the first bytes of a file, and at the members of an archive; nothing is unpickled.

    Raises:
        CheckpointError: a file that is missing, empty, truncated, or no checkpoint.
    """
    head = _read_head(path)
    if head.startswith(_ZIP):
        return _detect_archive(path)
    if head.startswith(_PICKLE):
        return Format.LEGACY
    if head[8:9] == b"{":  # after the header's length; whether the file is whole, its reader will say
        return Format.SAFETENSORS
    foreign = foreign_kind(head)
    if foreign is not None:
        raise CheckpointError(f"{path} is not a checkpoint: it is {foreign.name}. {foreign.advice}")
    raise CheckpointError(
        f"{path} is not a checkpoint: it begins with {head[:8]!r}. Expected a state dict (.pt, .pth, .th, "
        ".pt.tar, .safetensors) or a program (TorchScript, .pt2)."
    )


def _read_head(path: Path) -> bytes:
    try:
        if not path.exists():
            raise CheckpointError(f"there is no checkpoint {path}.")
        foreign = foreign_folder(path) if path.is_dir() else None
        if foreign is not None:
            raise CheckpointError(f"{path} is not a file, but {foreign.name}. {foreign.advice}")
        if not path.is_file():
            raise CheckpointError(f"{path} is not a file; give the checkpoint file itself.")
        with open_regular(path) as file:
            head = file.read(HEAD)
    except OSError as error:  # no right to look, or a name longer than any
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        raise CheckpointError(f"{path} is empty.")
    return head


def _detect_archive(path: Path) -> Format:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            bomb = bomb_in(archive, path.stat().st_size)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(damaged(path)) from error
    if bomb:
        raise CheckpointError(f"{path} is refused: {bomb}.")
    members = [name.partition("/")[2] for name in names]
    if any(name.startswith("code/") for name in members):
        return Format.TORCHSCRIPT
    if "serialized_exported_program.json" in members or "archive_format" in members:
        return Format.EXPORTED
    if "data.pkl" in members:
        return Format.PICKLE
    foreign = foreign_archive(names)
    if foreign is not None:
        raise CheckpointError(f"{path} is not a checkpoint: it is {foreign.name}. {foreign.advice}")
    raise CheckpointError(f"{path} is a zip archive, but not one that torch.save or torch.export wrote.")


def damaged(path: Path) -> str:
    """The message for a file that breaks off or does not decode."""
    return f"{path} is truncated or damaged. Copy or download it again, and compare its checksum."
