"""A corpus of hostile and broken files: none executes anything, and each gets its one line."""

import io
import json
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from advbench import cli
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.resnet_cifar import resnet20
from tests.hostile import archive_of, payloads, refusal, swelling_zip

Refused = Callable[[str], str]
NAMES = list(payloads(Path()))
READ_PAST = ("a method", "a state to be set")
"""Payloads that name nothing but classes: what would be made of these is left out, as bookkeeping is."""

Ended = Callable[[str], None]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a payload creates if it runs."""
    return tmp_path / "it-ran"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """The line that refuses an attack, and a proof that nothing was written."""
    monkeypatch.chdir(tmp_path)

    def refused(words: str) -> str:
        line = refusal(["attack", *words.split()], lambda: capsys.readouterr().err)
        assert not Path("runs").exists()
        return line

    return refused


@pytest.fixture
def harmless(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Runs a short attack that must come to its end, as if what hides in its input were not there."""
    monkeypatch.chdir(tmp_path)

    def ended(words: str) -> None:
        assert cli.main(["attack", *words.split(), "--limit", "5", "--steps", "1"]) == 0, capsys.readouterr()

    return ended


def state() -> dict[str, Any]:
    return dict(DigitsCNN().state_dict())


def torch_zip(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def torch_legacy(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def load_carelessly(contents: bytes) -> Any:
    return torch.load(io.BytesIO(contents), weights_only=False)


def beside_weights(payload: Any) -> Any:
    return {"state_dict": state(), "hooks": payload}


def among_weights(payload: Any) -> Any:
    return {**state(), "note": payload}


HIDING = {
    "plain pickle": (pickle.dumps, pickle.loads),
    "torch.save": (torch_zip, load_carelessly),
    "torch.save, old format": (torch_legacy, load_carelessly),
}


@pytest.mark.parametrize(("hide", "load"), HIDING.values(), ids=HIDING.keys())
@pytest.mark.parametrize("where", [beside_weights, among_weights, lambda payload: payload])
@pytest.mark.parametrize("name", NAMES)
def test_a_payload_in_a_checkpoint_does_not_run(
    name: str,
    where: Callable[[Any], Any],
    hide: Callable[[Any], bytes],
    load: Callable[[bytes], Any],
    mark: Path,
    tmp_path: Path,
    refused: Refused,
    harmless: Ended,
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(hide(where(payloads(mark)[name])))
    held = where in (beside_weights, among_weights) and hide is not pickle.dumps
    (harmless if held and name in READ_PAST else refused)(f"--checkpoint {path} --model digits-cnn")
    assert not mark.exists()
    load(path.read_bytes())
    assert mark.exists(), "the payload is alive"


def rebuilding(mark: Path) -> bytes:
    """A pickle that hands torch's own rebuilding functions something else than they expect."""
    attack = payloads(mark)["os.system"]

    class Rebuild:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (attack, 0, (1,), (1,), False, {})

    return torch_zip({**state(), "x": Rebuild()})


def loading_bytes(mark: Path) -> bytes:
    """A pickle that asks torch to load another file, held in its bytes."""
    inner = torch_legacy(payloads(mark)["os.system"])

    class Load:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (inner,)

    return torch_zip({**state(), "x": Load()})


def setting_items(mark: Path) -> bytes:
    """A pickle whose object is filled through `__setitem__` and `append` of a class that it names."""
    attack = payloads(mark)["builtins.eval"]

    class Fill:
        def __reduce__(self) -> Any:
            return list, (), None, iter([attack]), iter([("key", attack)])

    return torch_zip({**state(), "x": Fill()})


GADGETS = [rebuilding, loading_bytes, setting_items]


@pytest.mark.parametrize("make", GADGETS, ids=[each.__name__ for each in GADGETS])
def test_torchs_own_functions_are_no_way_in(
    make: Callable[[Path], bytes], mark: Path, tmp_path: Path, refused: Refused, harmless: Ended
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(make(mark))
    (harmless if make is loading_bytes else refused)(f"--checkpoint {path} --model digits-cnn")
    assert not mark.exists()


def bomb_of(names: list[str], size: int) -> bytes:
    return swelling_zip(dict.fromkeys(names, size))


LARGE = 0xFFFFFFFE  # the largest size without zip64: four gigabytes
STORAGES = {f"archive/data/{number}": LARGE for number in range(20)}
WEIGHTS = "--checkpoint {} --model digits-cnn"
BOMBS = {
    "one large pickle": (bomb_of(["archive/data.pkl"], LARGE), WEIGHTS, "4,294,967,294"),
    "many large storages": (
        swelling_zip(STORAGES, {"archive/data.pkl": pickle.dumps({}, 2)}),
        WEIGHTS,
        "85,899,345,8",
    ),
    "a program": (
        bomb_of(["archive/code/x.py"], LARGE),
        "--checkpoint {} --trust-program --dataset digits",
        "4,294,967,294",
    ),
    "arrays": (
        bomb_of(["x.npy", "y.npy"], LARGE),
        "--model digits-cnn --dataset npz --data-root {}",
        "8,589,934,588",
    ),
}


@pytest.mark.parametrize(("contents", "words", "declared"), BOMBS.values(), ids=BOMBS.keys())
def test_a_zip_bomb_is_refused_by_what_it_declares(
    contents: bytes, words: str, declared: str, tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(contents)
    refused("--model no-such-model")  # what is imported once is not counted
    tracemalloc.start()
    began = time.monotonic()
    line = refused(words.format(path))
    seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"declares to unpack to {declared}" in line
    assert seconds < 2
    assert peak < 100 << 20


def test_arrays_that_pack_well_are_no_bomb(tmp_path: Path, refused: Refused) -> None:
    np.savez_compressed(
        tmp_path / "blank.npz", x=np.zeros((4000, 1, 28, 28), np.uint8), y=np.zeros(4000, int)
    )
    assert "declares" not in refused(f"--model digits-cnn --dataset npz --data-root {tmp_path}/blank.npz")


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%b), }\n"
ARRAYS = {
    "a shape of terabytes": npy(HEADER % b"1000000, 3, 1000, 1000"),
    "a shape beyond all numbers": npy(HEADER % b"99999999999999999999, 3"),
    "a shape below zero": npy(HEADER % b"-1, 1, 8, 8"),
    "a header that is code": npy(b"__import__('os').system('touch it-ran')\n"),
    "a header that breaks off": npy(b"{'descr': '<f4', 'shape'"),
    "a header that nests": npy(b"(" * 60_000),
    "an unknown type": npy(b"{'descr': 'system', 'fortran_order': False, 'shape': (1,), }\n"),
    "no header at all": b"\x93NUMPY",
    "another file": b"#!/bin/sh\ntouch it-ran\n",
}


@pytest.mark.parametrize("contents", ARRAYS.values(), ids=ARRAYS.keys())
def test_a_false_array_is_refused(contents: bytes, mark: Path, tmp_path: Path, refused: Refused) -> None:
    good = io.BytesIO()
    np.save(good, np.zeros(4, np.int64))
    (tmp_path / "images.npz").write_bytes(archive_of({"x.npy": contents, "y.npy": good.getvalue()}))
    refused(f"--model digits-cnn --dataset npz --data-root {tmp_path}/images.npz")
    assert not mark.exists()


@pytest.mark.parametrize("name", NAMES)
def test_arrays_of_objects_are_not_unpickled(name: str, mark: Path, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, x=np.array([payloads(mark)[name]], dtype=object), y=np.zeros(1, int))
    assert "pickled objects" in refused(f"--model digits-cnn --dataset npz --data-root {path}")
    assert not mark.exists()
    np.load(path, allow_pickle=True)["x"]
    assert mark.exists(), "the payload is alive"


def safetensors_with(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(name: str = "x", dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def as_json(*entries: dict[str, Any]) -> bytes:
    return json.dumps({key: value for each in entries for key, value in each.items()}).encode()


FALSE_HEADERS = {
    "longer than the file": safetensors_with(as_json(entry()), bytes(4), 1 << 40),
    "of the largest length": safetensors_with(as_json(entry()), bytes(4), (1 << 63) - 1),
    "of a negative length": safetensors_with(as_json(entry()), bytes(4), 1 << 63),
    "no JSON": safetensors_with(b"{'x': __import__('os').system('touch it-ran')}"),
    "a list": safetensors_with(b"{[]}"),
    "nested deeply": safetensors_with(b'{"x":' * 50_000),
    "offsets beyond the data": safetensors_with(as_json(entry(shape=(1000,), offsets=(0, 4000))), bytes(4)),
    "offsets that overlap": safetensors_with(as_json(entry("a"), entry("b")), bytes(4)),
    "offsets backwards": safetensors_with(as_json(entry(offsets=(4, 0))), bytes(4)),
    "offsets below zero": safetensors_with(as_json(entry(offsets=(-4, 0))), bytes(4)),
    "a shape that does not fit": safetensors_with(as_json(entry(shape=(7,))), bytes(4)),
    "a shape that overflows": safetensors_with(as_json(entry(shape=(1 << 40, 1 << 40))), bytes(4)),
    "an unknown type": safetensors_with(as_json(entry(dtype="SYSTEM")), bytes(4)),
    "a key twice": safetensors_with(
        b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        bytes(8),
    ),
    "data that nobody claims": safetensors_with(as_json(entry()), bytes(400)),
    "nothing": safetensors_with(b"{}"),
}


@pytest.mark.parametrize("contents", FALSE_HEADERS.values(), ids=FALSE_HEADERS.keys())
def test_a_false_safetensors_header_is_refused(
    contents: bytes, mark: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "weights.safetensors").write_bytes(contents)
    refused(f"--checkpoint {tmp_path}/weights.safetensors --model digits-cnn")
    assert not mark.exists()


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("save", [torch_zip, torch_legacy, safetensors.torch.save, pickle.dumps])
def test_a_truncated_checkpoint_is_refused(
    save: Callable[[Any], bytes], kept: float, tmp_path: Path, refused: Refused
) -> None:
    contents = save(state())
    (tmp_path / "weights.pt").write_bytes(contents[: int(kept * len(contents))])
    refused(f"--checkpoint {tmp_path}/weights.pt --model digits-cnn")


HEADS = [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02", b"\x80\x04", b"\x1f\x8b", b"{", bytes(8) + b"{"]


@pytest.mark.parametrize("head", HEADS)
def test_random_bytes_are_refused(head: bytes, tmp_path: Path, refused: Refused) -> None:
    noise = np.random.default_rng(0).bytes(5000)
    (tmp_path / "weights.pt").write_bytes(head + noise)
    refused(f"--checkpoint {tmp_path}/weights.pt --model digits-cnn")


def test_a_member_with_a_false_checksum_is_refused(tmp_path: Path, refused: Refused) -> None:
    contents = bytearray(torch_zip(state()))
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        member = next(each for each in archive.infolist() if each.filename.endswith("data.pkl"))
    contents[member.header_offset + 120] ^= 0xFF
    (tmp_path / "weights.pt").write_bytes(contents)
    refused(f"--checkpoint {tmp_path}/weights.pt --model digits-cnn")


def png_that_declares(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


IMAGES = {
    "a decompression bomb": png_that_declares(60_000, 60_000),
    "a size beyond all memory": png_that_declares((1 << 31) - 1, (1 << 31) - 1),
    "an image that breaks off": jpeg()[:300],
    "a text": b"__import__('os').system('touch it-ran')",
    "nothing": b"",
}


@pytest.mark.parametrize("contents", IMAGES.values(), ids=IMAGES.keys())
def test_a_hostile_image_is_refused_by_its_name(
    contents: bytes, mark: Path, tmp_path: Path, refused: Refused
) -> None:
    torch.save(resnet20(num_classes=2).state_dict(), tmp_path / "resnet20.pt")
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "good.jpg").write_bytes(jpeg())
    (tmp_path / "images/b/hostile.png").write_bytes(contents)
    words = f"--checkpoint {tmp_path}/resnet20.pt --model resnet20 --dataset imagefolder"
    assert "hostile.png" in refused(f"{words} --data-root {tmp_path}/images")
    assert not mark.exists()
