"""What can be done to any file: bytes changed, and everything that is no file in its place."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_READABLE: Final = 64 << 20

Damage = Callable[[random.Random, Path], None]
"""Does something to the file at a path, which may be there."""


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder that was not damaged away, no link followed."""
    found = [Path(home) / name for home, _, names in os.walk(folder) for name in names]
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def contents_of(path: Path) -> bytes:
    """What a file holds that was not damaged already beyond reading; nothing of others."""
    whole = path.is_file() and not path.is_symlink() and path.stat().st_size < _READABLE
    return path.read_bytes() if whole else b""


def change_bytes(draw: random.Random, path: Path) -> None:
    """Flip some bytes, cut the file off, repeat a piece of it, or put zeros in."""
    contents = bytearray(contents_of(path) or b"x")
    for _ in range(draw.choice([1, 1, 3, 30])):
        at = draw.randrange(len(contents) + 1)
        match draw.choice(["flip", "flip", "cut", "repeat", "zeros", "long"]):
            case "flip":
                contents[at : at + 1] = bytes([draw.randrange(256)])
            case "cut":
                del contents[max(at, 1) :]
            case "repeat":
                contents[at:at] = contents[max(0, at - 40) : at]
            case "zeros":
                contents[at : at + 8] = bytes(8)
            case _:
                contents[at : at + 8] = b"\xff" * draw.choice([3, 8])
    _replace(path, contents)


def put_pipe(_: random.Random, path: Path) -> None:
    """A pipe that nobody writes to."""
    _clear(path)
    os.mkfifo(path)


def put_folder(_: random.Random, path: Path) -> None:
    """A folder."""
    _clear(path)
    path.mkdir(parents=True)


def put_socket(_: random.Random, path: Path) -> None:
    """A socket."""
    _clear(path)
    before = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(before)


def put_link(draw: random.Random, path: Path) -> None:
    """A link to itself, to a device, to the process's own files, or to nowhere."""
    _clear(path)
    path.symlink_to(
        draw.choice([path.name, "/dev/zero", "/dev/tty", "/proc/self/mem", "/proc/self", "nowhere", "/"])
    )


def put_nothing(draw: random.Random, path: Path) -> None:
    """No file, or an empty one."""
    _clear(path)
    if draw.random() < 0.5:
        path.touch()


def put_sparse(_: random.Random, path: Path) -> None:
    """A file that says it is fifty gigabytes long, and takes no room."""
    _replace(path, contents_of(path))
    with path.open("ab") as file:
        file.truncate(50 << 30)


def put_text(draw: random.Random, path: Path) -> None:
    """JSON, TOML or neither: nested a hundred thousandfold, numbers without end, other types."""
    number = draw.choice([10, 1000, 100_000])
    texts = [
        "[" * number,
        '{"a":' * number,
        "[" * number + "]" * number,
        "a." * min(number, 1000) + "a = 1",
        "9" * number,
    ]
    texts += ['{"a": ' + "9" * number + "}", "null", '"text"', "NaN", "\ufeff{}", "\0", "a = " + "[" * number]
    texts += [json.dumps({str(one): one for one in range(number)}), "[[a]]\n" * number, "-" * number]
    _replace(path, draw.choice(texts).encode())


ANYWHERE: Final[tuple[Damage, ...]] = (
    *(change_bytes, change_bytes, change_bytes, put_pipe, put_folder, put_socket, put_link, put_nothing),
    *(put_sparse, put_text),
)

VALUES: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        0,
        -1,
        1,
        10**9,
        10**12,
        2**63,
        10**30,
        -(10**30),
        1.5,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        "x",
        "\x1b[31mred",
        "a\nb",
        "a" * 100_000,
        "../../../etc/passwd",
        "/dev/zero",
        "round",
        "none",
        "\ud800",
    ),
    *(
        "tv-min:steps=1000000000",
        "tv-min:steps=100000+noise",
        "os:system",
        "file.py:net",
        "pgd:steps=1000000000",
    ),
    *(
        "nlm:search=999",
        "resize-pad:ratio=1000000",
        "gaussian:sigma=1e9",
        "[",
        "[x]",
        "<script>alert(1)</script>",
    ),
    *(
        [],
        [[]],
        ["x"] * 1000,
        {},
        {"a": {"b": {}}},
        ["clean", "worst"],
        {"tv-min:steps=1000000000": []},
        [0.0] * 9,
    ),
    *(
        {"round": {}, "noise": {}},
        {"\x1b[2J": []},
        "9" * 5000,
        "1/0",
        "inf",
        "imagefolder",
        "npz",
        "mnist",
        "cuda",
    ),
)


def forge_json(draw: random.Random, path: Path) -> None:
    """Other values in a file of JSON, one to three of them, keys taken out or put in."""
    try:
        whole: Any = json.loads(contents_of(path))
    except (ValueError, RecursionError):
        return change_bytes(draw, path)
    for _ in range(draw.choice([1, 1, 2, 3])):
        _forge(draw, whole)
    return _replace(path, json.dumps(whole).encode(errors="surrogatepass"))


def _forge(draw: random.Random, value: Any) -> None:
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and draw.random() < 0.85:
            value = value[key]
            continue
        match draw.choice(["value", "value", "value", "gone", "more"]):
            case "gone":
                del value[key]
            case "more" if isinstance(value, dict):
                value[str(draw.choice(VALUES))[:200]] = draw.choice(VALUES)
            case _:
                value[key] = draw.choice(VALUES)
        return


def _replace(path: Path, contents: bytes | bytearray) -> None:
    _clear(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
