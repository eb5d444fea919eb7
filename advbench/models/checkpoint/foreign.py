"""Files that are not checkpoints of PyTorch, told by their first bytes, and what to do about each."""

from pathlib import Path
from typing import Final, NamedTuple

HEAD: Final = 512  # bytes that are looked at


class Kind(NamedTuple):
    """A kind of file that is no checkpoint."""

    name: str
    advice: str


_UNPACK: Final = "Unpack it, and give the file in it."
_LOAD: Final = "Download the file itself"
_CONVERT: Final = "Give the PyTorch weights that it was made from (torch.save(model.state_dict(), FILE))."
_LFS: Final = Kind(
    "a pointer of Git LFS, not the file that it stands for",
    "Fetch that with 'git lfs pull', or download it from the repository's page.",
)
_PAGE: Final = Kind("a page of HTML", f"{_LOAD}; its page, or that of an error, was saved in its place.")
_XML: Final = Kind("an XML text, as servers answer with where a file is not there", f"{_LOAD} again.")
_KERAS: Final = Kind("a file of HDF5, as Keras and MATLAB write them", _CONVERT)
_ONNX: Final = Kind("a model of ONNX", "Name it as the model: --model FILE.onnx.")
_TENSORFLOW: Final = Kind("a SavedModel of TensorFlow", _CONVERT)
_INDEX: Final = Kind(
    "a JSON text, as the index of weights in several files is",
    "Load the parts, and save the whole with torch.save(model.state_dict(), FILE).",
)

_MAGIC: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, b"version https://git-lfs", _LFS),
    (0, b"\x1f\x8b", Kind("packed by gzip", "Unpack it with gunzip or tar xzf, and give the file in it.")),
    (0, b"BZh", Kind("packed by bzip2", _UNPACK)),
    (0, b"\xfd7zXZ\x00", Kind("packed by xz", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("packed by zstd", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("an archive of 7-Zip", _UNPACK)),
    (0, b"Rar!", Kind("an archive of RAR", _UNPACK)),
    (0, b"\x89HDF\r\n\x1a\n", _KERAS),
    (0, b"\x93NUMPY", Kind("an array of NumPy", "Give a state dict; images are named by --data-root.")),
    (0, b"GGUF", Kind("weights in the format GGUF", _CONVERT)),
    (0, b"\x08\x01\x12", _TENSORFLOW),
    (4, b"TFL3", Kind("a model of TensorFlow Lite", _CONVERT)),
    (257, b"ustar", Kind("an archive of tar", "Unpack it with tar xf, and give the file in it.")),
)


def foreign_kind(head: bytes) -> Kind | None:
    """What a file is, if its first bytes are those of something known that is no checkpoint.

    Args:
        head: the file's first `HEAD` bytes.
    """
    known = next((kind for start, magic, kind in _MAGIC if head[start : start + len(magic)] == magic), None)
    if known is not None:
        return known
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return _PAGE
    if text.startswith(b"<?xml"):
        return _XML
    if text[:1] == b"{" and text[1:].lstrip()[:1] in (b'"', b"}"):
        return _INDEX
    # ONNX has no magic: field 1 is its version, 1 to 20 so far, and a text or the graph follows.
    if head[:1] == b"\x08" and 1 <= head[1:2][0] <= 20 and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        return _ONNX
    return None


def foreign_archive(members: list[str]) -> Kind | None:
    """What a zip archive is, if its members are those of something known that is no checkpoint."""
    if any(member.endswith(".weights.h5") for member in members):
        return Kind("a model of Keras", _CONVERT)
    if any(member.rpartition("/")[2] == "saved_model.pb" for member in members):
        return _TENSORFLOW
    if members and all(member.endswith(".npy") for member in members):
        return Kind("an archive of NumPy arrays", "Give a state dict; images are named by --data-root.")
    weights = [
        member
        for member in members
        if member.endswith((".pt", ".pth", ".th", ".tar", ".safetensors", ".ckpt"))
    ]
    if weights:
        return Kind("a zip archive of files", f"Unpack it, and give one of them: {', '.join(weights[:3])}.")
    return None


def foreign_folder(path: Path) -> Kind | None:
    """What a folder is, if it holds weights that could be named, or those of another library."""
    if (path / "saved_model.pb").is_file():
        return _TENSORFLOW
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return Kind("a folder of weights", f"Give the file in it: {path / name}.")
    if (path / "data.pkl").is_file():
        return Kind("an unpacked checkpoint", "Pack it as it was, by zip -0, or download it again.")
    return None
