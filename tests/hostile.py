"""What hostile files are made of: payloads that leave a mark where they run, and archives that swell."""

import builtins
import io
import os
import pickle
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advbench import cli


class Call:
    """Unpickles by calling something."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


class Stateful:
    """Unpickles by setting a state, which runs `__setstate__` of a class that the file names."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __setstate__(self, state: dict[str, Any]) -> None:
        state["mark"].touch()


def payloads(mark: Path) -> dict[str, Any]:
    """Objects that create the file `mark` when they are unpickled without care."""
    code = f"open({str(mark)!r}, 'w').close()"
    inner = pickle.dumps(Call(os.system, f"touch {mark}"))
    return {
        "os.system": Call(os.system, f"touch {mark}"),
        "builtins.eval": Call(builtins.eval, code),
        "builtins.exec": Call(builtins.exec, code),
        "subprocess": Call(subprocess.check_call, ["touch", str(mark)]),
        "a method": Call(Path.touch, mark),
        "a pickle in a pickle": Call(pickle.loads, inner),
        "a state to be set": Stateful(mark),
    }


def refusal(words: list[str], err: Callable[[], str]) -> str:
    """Run a command that must refuse its input: one line on stderr, exit code 1 or 2; returns the line."""
    code = cli.main(words)
    said = err()
    assert code in (1, 2), said
    line = said.splitlines()[-1]
    assert line.startswith("advbench: error: ")
    assert said.count("advbench: error: ") == 1
    assert "Traceback" not in said
    assert "a fault of advbench" not in said
    return line


def zeros_packed(size: int) -> bytes:
    """`size` zeros as a raw deflate stream, made a gigabyte at a time of the same block."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(size >> 20)), packer.flush()])


def swelling_zip(members: dict[str, int], prefix: dict[str, bytes] | None = None) -> bytes:
    """A zip archive whose directory declares members of these sizes; their data are a few bytes of deflate.

    Nothing is as large as declared, which is the point: whoever refuses it has not unpacked it.
    """
    body, directory = io.BytesIO(), io.BytesIO()
    for name, contents in (prefix or {}).items():
        _member(body, directory, name.encode(), contents, len(contents), stored=True)
    for name, size in members.items():
        _member(body, directory, name.encode(), zeros_packed(1 << 20), size, stored=False)
    start, length = body.tell(), directory.tell()
    count = len(members) + len(prefix or {})
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, length, start, 0)
    return body.getvalue() + directory.getvalue() + end


def _member(
    body: io.BytesIO, directory: io.BytesIO, name: bytes, data: bytes, size: int, *, stored: bool
) -> None:
    offset, method, crc = body.tell(), 0 if stored else 8, zlib.crc32(data) if stored else 0
    sizes = struct.pack("<III", crc, len(data), min(size, 0xFFFFFFFE))
    body.write(struct.pack("<4sHHHHH", b"PK\x03\x04", 20, 0, method, 0, 0) + sizes)
    body.write(struct.pack("<HH", len(name), 0) + name + data)
    directory.write(struct.pack("<4sHHHHHH", b"PK\x01\x02", 20, 20, 0, method, 0, 0) + sizes)
    directory.write(struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, offset) + name)


def archive_of(members: dict[str, bytes]) -> bytes:
    """An ordinary zip archive, nothing packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return file.getvalue()
