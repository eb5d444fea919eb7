"""Files that are no checkpoints are named for what they are, with what to do."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from advbench.models.digits_cnn import DigitsCNN
from tests.checkpoints import refusal
from tests.hostile import archive_of


def saved() -> bytes:
    torch.save(DigitsCNN().state_dict(), file := io.BytesIO())
    return file.getvalue()


def tar() -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as archive:
        info = tarfile.TarInfo("weights.pt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return file.getvalue()


def npy() -> bytes:
    np.save(file := io.BytesIO(), np.zeros(3))
    return file.getvalue()


# A ModelProto: ir_version 7 (field 1), producer_name "pytorch" (field 2). A SavedModel: version 1, a graph.
ONNX = b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:" + bytes(100)
SAVED_MODEL = b"\x08\x01\x12" + bytes(100)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"

FILES: dict[str, tuple[bytes, str]] = {
    "ONNX": (ONNX, "it is a model of ONNX. Name it as the model: --model FILE.onnx"),
    "a SavedModel": (SAVED_MODEL, "it is a SavedModel of TensorFlow"),
    "TensorFlow Lite": (struct.pack("<I", 28) + b"TFL3" + bytes(40), "TensorFlow Lite"),
    "gzip": (gzip.compress(saved()), "it is packed by gzip. Unpack it with gunzip"),
    "bzip2": (b"BZh91AY&SY" + bytes(20), "bzip2"),
    "xz": (b"\xfd7zXZ\x00" + bytes(20), "packed by xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "7-Zip"),
    "RAR": (b"Rar!\x1a\x07\x00" + bytes(20), "RAR"),
    "tar": (tar(), "archive of tar. Unpack it with tar xf"),
    "a pointer": (
        POINTER,
        "a pointer of Git LFS, not the file that it stands for. Fetch that with 'git lfs pull'",
    ),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5, as Keras"),
    "NumPy": (npy(), "an array of NumPy"),
    "GGUF": (b"GGUF" + bytes(40), "GGUF"),
    "a page": (b"\n<!DOCTYPE html>\n<html><head>", "a page of HTML. Download the file itself"),
    "a page in capitals": (b"\xef\xbb\xbf<HTML>", "a page of HTML"),
    "an answer in XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML text"),
    "an index": (
        b'{"metadata": {"total_size": 1}, "weight_map": {}}',
        "the index of weights in several files",
    ),
    "a Keras archive": (archive_of({"config.json": b"{}", "model.weights.h5": b"x"}), "a model of Keras"),
    "arrays": (archive_of({"x.npy": npy()}), "archive of NumPy arrays"),
    "a zip of weights": (archive_of({"a/net.pth": saved()}), "Unpack it, and give one of them: a/net.pth."),
    "a zip of a SavedModel": (archive_of({"m/saved_model.pb": SAVED_MODEL}), "TensorFlow"),
}


@pytest.mark.parametrize(("contents", "expected"), FILES.values(), ids=FILES.keys())
def test_a_file_of_another_kind_is_named(contents: bytes, expected: str, tmp_path: Path) -> None:
    (path := tmp_path / "weights.pt").write_bytes(contents)
    message = refusal(path)
    assert expected in message
    assert "not a checkpoint" in message


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("saved_model.pb", "a SavedModel of TensorFlow"),
        ("model.safetensors", "Give the file in it: "),
        ("data.pkl", "an unpacked checkpoint"),
        ("readme.txt", "give the checkpoint file itself"),
    ],
)
def test_a_folder_is_named_for_what_it_holds(member: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / member).write_bytes(b"x")
    assert expected in refusal(tmp_path)


def test_what_torch_writes_is_never_taken_for_another_kind(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        assert any(name.endswith("data.pkl") for name in archive.namelist())
    (path := tmp_path / "a.pt").write_bytes(saved()[:-100])
    assert "truncated" in refusal(path)
