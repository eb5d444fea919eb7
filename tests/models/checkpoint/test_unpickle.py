"""A pickle is read as data: nothing is made, called or imported, and the time is bounded."""

import io
import pickle
import pickletools
import struct
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from advbench.models.checkpoint.notes import INERT, Inert, Name, StorageNote, TensorNote
from advbench.models.checkpoint.unpickle import CodeError, Reader
from tests.hostile import Call, Stateful, payloads

PLAIN = (dict, list, tuple, str, bytes, int, float, bool, type(None), Inert, Name, StorageNote, TensorNote)


def read(contents: bytes) -> Any:
    return Reader(io.BytesIO(contents)).load()


def assert_plain(value: Any) -> None:
    """Nothing but containers of data, however deep."""
    waiting, seen = [value], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        assert type(found) in PLAIN, type(found)
        if isinstance(found, dict):
            waiting += [*found.keys(), *found.values()]
        elif isinstance(found, list | tuple):
            waiting += found


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", list(payloads(Path())))
def test_a_payload_is_refused_or_comes_to_nothing(name: str, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    contents = pickle.dumps({"weights": 1, "payload": payloads(mark)[name]}, protocol)
    with suppress(CodeError):
        assert_plain(read(contents))
    assert not mark.exists()
    pickle.loads(contents)
    assert mark.exists(), "the payload is alive"


ASSEMBLED: dict[str, bytes] = {
    "a call of a method": b"cbuiltins\ngetattr\n(cos\nPathLike\nS'system'\ntR(S'touch it-ran'\ntR.",
    "an instance": b"(iantigravity\nx\n.",
    "an object": b"(cantigravity\nx\no.",
    "a new object": b"cantigravity\nx\n)\x81.",
    "a new object with keywords": b"\x80\x04cantigravity\nx\n)}\x92.",
    "a name off the stack": b"\x80\x04\x8c\x0bantigravity\x8c\x01x\x93)R.",
    "a state": b"cantigravity\nx\n)\x81}S'a'\nI1\nsb.",
    "a state of a list": b"]}S'append'\nI1\nsb.",
    "a state of a name": b"cantigravity\nx\n}S'module'\nI1\nsb.",
    "items of a name": b"cantigravity\nx\nS'a'\nI1\ns.",
    "an item appended to a name": b"cantigravity\nx\nI1\na.",
    "items added to a name": b"\x80\x04cantigravity\nx\n(I1\n\x90.",
    "a call of what was made": b"cantigravity\nx\n)R)R.",
    "a call of a tuple": b"))R.",
    "a call with no tuple": b"cantigravity\nx\nI1\nR.",
    "a reducer": b"ccopyreg\n_reconstructor\n(cantigravity\nx\nc__builtin__\nobject\nNtR.",
    "a storage of any class": b"(S'storage'\ncantigravity\nx\nS'0'\nS'cpu'\nI1\ntQ.",
    "a class outside": b"(S'module'\ncantigravity\nx\nS'x.py'\nS'import antigravity'\ntQ.",
    "a tensor of any storage": b"ctorch._utils\n_rebuild_tensor_v2\n(I1\nI0\n(I1\nt(I1\ntI00\n}tR.",
    "a tensor by any function": b"ctorch._tensor\n_rebuild_from_type_v2\n(cantigravity\nx\nN)}tR.",
}


@pytest.mark.parametrize("contents", ASSEMBLED.values(), ids=ASSEMBLED.keys())
def test_every_instruction_that_could_make_something_makes_nothing(contents: bytes, tmp_path: Path) -> None:
    sys.modules.pop("antigravity", None)
    pickletools.dis(contents, io.StringIO())  # it is a pickle
    with suppress(CodeError):
        assert_plain(read(contents))
    assert "antigravity" not in sys.modules


BOMBS: dict[str, bytes] = {
    "a memo of four billion": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a text of exabytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b".",
    "bytes of terabytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "an array of bytes": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "a frame of terabytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "a number of gigabytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "an extension": b"\x80\x02\x82\x01.",
    "a buffer outside": b"\x80\x05\x97.",
    "no end": b"\x80\x02N",
    "an empty stack": b"\x80\x02.",
    "a mark that is missing": b"\x80\x02t.",
}


@pytest.mark.parametrize("contents", BOMBS.values(), ids=BOMBS.keys())
def test_a_length_takes_no_memory_before_it_is_there(contents: bytes) -> None:
    began = time.monotonic()
    tracemalloc.start()
    with suppress(Exception):  # whatever the reader raises is a damaged file to its caller
        assert_plain(read(contents))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
    assert time.monotonic() - began < 1


def test_keys_that_would_collide_or_nest_are_left_out() -> None:
    chain = b"\x80\x02}" + b")" + b"\x85" * 10_000 + b"Ns" + b"."
    assert read(chain) == {}
    assert read(pickle.dumps({1: 2, "a": 3, 1 << 61: 4, 0.5: 5, (1,): 6})) == {1: 2, "a": 3}


def test_names_are_those_of_python_3() -> None:
    assert read(b"\x80\x02ccollections\nOrderedDict\n)R.") == {}
    with pytest.raises(CodeError, match="subprocess"):
        read(pickle.dumps(Call(__import__("subprocess").check_call, ["true"]), 2))
    assert read(pickle.dumps(Stateful(Path("x")), 2)) is INERT
