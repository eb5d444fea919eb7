"""The files that `torch.save` writes, old and new: a pickle says where tensors lie, their numbers follow."""

import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import torch
from torch import Tensor

from advbench.models.checkpoint.notes import StorageNote, TensorNote
from advbench.models.checkpoint.unpickle import Reader
from advbench.regular_files import open_regular

_MAGIC: Final = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_LONGEST: Final = 256 << 20  # bytes of a pickle, without the tensors' numbers

Fetch = Callable[[StorageNote], bytearray]


class NoTorchFileError(Exception):
    """A pickle that `torch.save` did not write."""


class Contents(NamedTuple):
    """What a file holds, its tensors not read yet."""

    content: Any
    """Dictionaries, lists, tuples, texts and numbers, with `TensorNote` where a tensor is."""
    skipped: dict[str, int]
    """What else it names, and how often: none of it was made."""
    tensor: Callable[[TensorNote], Tensor]
    """Reads a tensor."""


@contextmanager
def archive_contents(path: Path) -> Iterator[Contents]:
    """A file of `torch.save` since version 1.6: a zip archive of a pickle and a member a storage.

    Raises:
        pickle.UnpicklingError: the pickle asks for code, or is none.
        Exception: whatever a damaged archive makes the reader raise.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        name = next(member for member in members if member.partition("/")[2] == "data.pkl")
        if members[name].file_size > _LONGEST:
            raise ValueError("the pickle is too long")
        folder = name.removesuffix("data.pkl")
        order = members.get(f"{folder}byteorder")
        if order is not None and archive.read(order) != b"little":
            raise ValueError("written on a machine of another byte order")
        reader = Reader(io.BytesIO(archive.read(name)))
        content = reader.load()

        def fetch(storage: StorageNote) -> bytearray:
            member = members[f"{folder}data/{storage.key}"]
            if member.file_size != storage.elements * storage.dtype.itemsize:
                raise ValueError(f"storage {storage.key} has another size than the pickle says")
            numbers = bytearray(member.file_size)
            with archive.open(member) as stream:
                _fill(stream, numbers)
            return numbers

        yield Contents(content, reader.skipped, _Tensors(fetch).read)


@contextmanager
def legacy_contents(path: Path) -> Iterator[Contents]:
    """A file of `torch.save` before version 1.6: four pickles, the keys of the storages, their numbers.

    Raises:
        NoTorchFileError: a pickle that begins otherwise.
        pickle.UnpicklingError: the pickle asks for code, or is none.
        Exception: whatever a damaged file makes the reader raise.
    """
    with open_regular(path) as whole:
        size = os.fstat(whole.fileno()).st_size
        file = _Bounded(whole, size)
        first = Reader(file)
        if first.load() != _MAGIC:
            raise NoTorchFileError(", ".join(first.skipped))
        for _ in range(2):  # the format's version, and the machine's types
            Reader(file).load()
        reader = Reader(file)
        content = reader.load()
        places = _places(whole, Reader(file).load(), reader.storages, size)

        def fetch(storage: StorageNote) -> bytearray:
            begin, length = places[storage.key]
            numbers = bytearray(length)
            whole.seek(begin)
            _fill(whole, numbers)
            return numbers

        yield Contents(content, reader.skipped, _Tensors(fetch).read)


def _places(
    file: IO[bytes], keys: Any, storages: Mapping[str, StorageNote], size: int
) -> dict[str, tuple[int, int]]:
    """Where each storage's bytes begin, and how many there are: counts and numbers take turns."""
    places = {}
    for key in map(str, keys):
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        begin, length = file.tell(), storage.elements * storage.dtype.itemsize
        if count != storage.elements or begin + length > size:
            raise ValueError(f"storage {key} has another size than the pickle says")
        places[key] = (begin, length)
        file.seek(length, io.SEEK_CUR)
    return places


class _Bounded:
    """A file of which no more is asked for than it has: a length in a pickle takes no memory by itself."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file = file
        self.size = size
        self.readline = file.readline

    def read(self, count: int, /) -> bytes:
        return self.file.read(min(count, self.size))


class _Tensors:
    """Reads tensors; storages that several tensors share are read once."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self.storages: dict[str, Tensor] = {}

    def read(self, note: TensorNote) -> Tensor:
        """The tensor that a note describes, whose view torch checks against the storage's size."""
        key = note.storage.key
        if key not in self.storages:
            numbers = self.fetch(note.storage)
            self.storages[key] = (
                torch.frombuffer(numbers, dtype=torch.uint8) if numbers else torch.empty(0, dtype=torch.uint8)
            )
        return self.storages[key].view(note.dtype).as_strided(note.size, note.stride, note.offset)


def _fill(file: IO[bytes], numbers: bytearray) -> None:
    """Read as many bytes as there is room for."""
    room = memoryview(numbers)
    while room:
        count = file.readinto(room)  # type: ignore[attr-defined]  # every binary file has it
        if not count:
            raise EOFError
        room = room[count:]
