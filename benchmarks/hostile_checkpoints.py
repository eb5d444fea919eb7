"""Hostile checkpoints: pickles that nest, refer to themselves or call something, tensors of strange kinds."""

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from advbench.models.digits_cnn import DigitsCNN
from benchmarks.fuzz_lines import SMALL_ATTACK, SMALL_TRAINING
from benchmarks.hostile_damage import ANYWHERE

_NAMES: Final = (
    "weights.pt",
    "weights.pth",
    "weights.safetensors",
    "weights",
    "weights.onnx",
    "a\x1b[31m.pt",
)
Make = Callable[[random.Random], bytes]


class _Call:
    """Unpickles by calling something, where a reader lets it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def hostile_checkpoint(draw: random.Random, folder: Path) -> list[str]:
    """Write one; the words of an attack, a sweep or a fine-tuning that loads it."""
    path = folder / draw.choice(_NAMES)
    if draw.random() < 0.35:
        path.write_bytes(draw.choice(_sound())())
        draw.choice(ANYWHERE)(draw, path)
    else:
        path.write_bytes(draw.choice(_MADE)(draw))
    words = ["attack", *SMALL_ATTACK]
    if draw.random() < 0.15:
        words = ["finetune", *SMALL_TRAINING]
    return [*words, "--model", "digits-cnn", "--checkpoint", str(path)]


def saved(content: Any, *, legacy: bool = False) -> bytes:
    """What `torch.save` writes."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@cache
def _state() -> dict[str, torch.Tensor]:
    return dict(DigitsCNN().state_dict())


def _sound() -> list[Callable[[], bytes]]:
    return [
        lambda: saved(_state()),
        lambda: saved(_state(), legacy=True),
        lambda: safetensors.torch.save(_state()),
        lambda: saved({"state_dict": _state(), "epoch": 3, "args": {"lr": 0.1}}),
    ]


def _raw(pickled: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """An archive as `torch.save` writes it, with this pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/version", b"3\n")
        for name, contents in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", contents)
    return file.getvalue()


def _nested(draw: random.Random) -> bytes:
    depth = draw.choice([100, 5_000, 300_000])
    opening, closing = draw.choice([(b"]", b"a"), (b"}X\x01\x00\x00\x00a", b"s"), (b"(", b"t")])
    body = b"\x80\x02" + opening * depth + b"N" + closing * depth + b"."
    return draw.choice([_raw(body), body])


def _to_itself(draw: random.Random) -> bytes:
    whole: dict[str, Any] = {"state_dict": {}}
    whole["state_dict"]["model"] = whole
    rows: list[dict[str, Any]] = [{} for _ in range(draw.choice([2, 12, 40]))]
    for row in rows:
        row.update({f"net{number}": other for number, other in enumerate(rows)})
    loop: list[Any] = []
    loop.append(loop)
    content = draw.choice([whole, {"model": rows[0]}, loop, {**_state(), "ema": rows[0], "x": loop}])
    return saved(content, legacy=draw.random() < 0.3)


def _calls(draw: random.Random) -> bytes:
    mark = "touch it-ran"
    call = draw.choice(
        [
            _Call(os.system, mark),
            _Call(eval, "open('it-ran', 'w').close()"),
            _Call(exec, "open('it-ran', 'w').close()"),
            _Call(pickle.loads, pickle.dumps(_Call(os.system, mark))),
            _Call(getattr, "x", "__class__"),
            _Call(bytearray, 1 << 40),
            _Call(range, 10**12),
            _Call(list, _Call(range, 10**12)),
            _Call(torch.zeros, (1 << 40,)),
        ]
    )
    content = draw.choice([call, {**_state(), "x": call}, {"state_dict": _state(), "hooks": [call]}])
    return draw.choice([saved(content), saved(content, legacy=True), pickle.dumps(content)])


def _strange(draw: random.Random) -> bytes:
    """One of the tensors is of another kind."""
    state: dict[str, Any] = dict(_state())
    name = draw.choice(list(state))
    size = state[name].shape
    state[name] = draw.choice(
        [
            lambda: torch.empty(size, device="meta"),
            lambda: torch.zeros(size).to_sparse(),  # type: ignore[no-untyped-call]  # untyped in torch
            lambda: torch.zeros(size, dtype=torch.complex64),
            lambda: torch.zeros(size, dtype=torch.int64),
            lambda: torch.zeros(size, dtype=torch.float64),
            lambda: torch.zeros(size, dtype=torch.bool),
            lambda: torch.zeros(size, dtype=torch.float8_e4m3fn),
            lambda: torch.full(size, float("nan")),
            lambda: torch.full(size, float("inf")),
            lambda: torch.zeros(1).expand(1 << 40),
            lambda: torch.zeros(()).expand(size),
            lambda: torch.zeros(()),
            lambda: torch.zeros((*size, 1)),
            lambda: torch.nn.Parameter(torch.zeros(size)),
            lambda: [1, 2, 3],
            lambda: 10**30,
            lambda: None,
        ]
    )()
    if draw.random() < 0.3:
        state = {
            draw.choice(["module.", "\x1b[31m", "a" * 10_000, "x\n", "model."]) + key: state[key]
            for key in state
        }
    return saved(state, legacy=draw.random() < 0.2)


def _sizes(draw: random.Random) -> bytes:
    """A pickle that says other sizes than its storages have."""

    def note(size: tuple[int, ...], stride: tuple[int, ...], offset: int, elements: int) -> bytes:
        storage = pickle.dumps(("storage", torch.FloatStorage, "0", "cpu", elements), 2)[2:-1]
        view = pickle.dumps((offset, size, stride, False), 2)[2:-1]
        call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"Q" + view + b"tR"
        return b"\x80\x02}X\x06\x00\x00\x00weight" + call + b"s."

    large = draw.choice([1 << 20, 1 << 40, (1 << 63) - 1])
    body = draw.choice(
        [
            note((large,), (1,), 0, 4),
            note((4,), (large,), 0, 4),
            note((4,), (1,), large, 4),
            note((4,), (1,), 0, large),
            note((-4,), (-1,), -1, -4),
            note((0,) * 200, (1,) * 200, 0, 4),
        ]
    )
    return _raw(body, {"0": bytes(16)})


def _header(draw: random.Random) -> bytes:
    """Safetensors whose header says something else than its data."""
    entry: dict[str, Any] = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    entry[draw.choice(list(entry))] = draw.choice(
        [
            "F64",
            "X",
            [1 << 40, 1 << 40],
            [-1],
            [0],
            [1 << 63],
            [16, 0],
            [0, 1 << 60],
            None,
            "a" * 1000,
            [2] * 5000,
        ]
    )
    many = {f"conv{number}.weight": entry for number in range(draw.choice([1, 1, 20_000]))}
    text = draw.choice(
        [
            json.dumps(many),
            json.dumps({"__metadata__": {"a": "b" * 10_000}, **many}),
            '{"a":' * 50_000,
            json.dumps(many)[:-3],
        ]
    ).encode()
    length = draw.choice([len(text), len(text), len(text) + 8, 1 << 40, (1 << 64) - 1, 0])
    return struct.pack("<Q", length) + text + bytes(16)


def _archive(draw: random.Random) -> bytes:
    """A zip archive of strange members."""
    file = io.BytesIO()
    pack = draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(file, "w", pack) as archive:
        for number in range(draw.choice([1, 3, 20_000])):
            home = draw.choice(["archive", "../..", "/", "a" * 200])
            name = draw.choice(
                ["data.pkl", f"data/{number}", "code/x.py", "version", "archive_format", f"x{number}.npy"]
            )
            if f"{home}/{name}" not in archive.NameToInfo:
                archive.writestr(f"{home}/{name}", draw.choice([b"", b"\x80\x02}.", bytes(1000)]))
        if draw.random() < 0.3:
            archive.writestr("archive/data.pkl", bytes(64 << 20))
    return file.getvalue()


def _graph(draw: random.Random) -> bytes:
    """Files of other programs, whole or cut off."""
    heads = [
        b"\x08\x07\x12\x07pytorch",
        b"\x89HDF\r\n\x1a\n",
        b"GGUF",
        b"%!PS-Adobe-3.0\n",
        b"\x93NUMPY\x01\x00",
        b"PK\x03\x04",
    ]
    heads += [
        b"<html>",
        b"\x1f\x8b\x08",
        b"version https://git-lfs",
        b"#!/bin/sh\ntouch it-ran\n",
        b"\x7fELF",
        b"{}",
    ]
    return draw.choice(heads) + draw.randbytes(draw.choice([0, 10, 5000]))


_MADE: Final[tuple[Make, ...]] = (
    *(
        _nested,
        _to_itself,
        _to_itself,
        _calls,
        _calls,
        _strange,
        _strange,
        _strange,
        _sizes,
        _header,
        _archive,
    ),
    _graph,
)
