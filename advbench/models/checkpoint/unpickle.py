"""Pickles read as data: whatever a file names is never imported, and nothing that it asks for is called.

`torch.load(weights_only=True)` refuses a whole file for one NumPy scalar beside the weights. This reader
goes past it instead: a name stays a name, and what would be made of it is a placeholder that holds nothing.
"""

import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from advbench.models.checkpoint.notes import INERT, Name, StorageNote, made_of, storage_note

_FIRST_OF_PYTHON_3: Final = 3  # protocol; names in earlier ones are those of Python 2


class Stream(Protocol):
    """What an unpickler asks of a file."""

    def read(self, count: int, /) -> bytes:
        """At most so many bytes."""
        ...

    def readline(self) -> bytes:
        """The bytes up to the end of a line."""
        ...


class CodeError(pickle.UnpicklingError):
    """A pickle that asks for something which runs programs or code; no honest checkpoint does."""


class Reader(pickle._Unpickler):
    """Reads one pickle of any protocol; every instruction that could make, call or change an object is ours.

    The unpickler in C is not used: its memo grows to the largest index that a file names. Of the one in
    Python every such instruction is replaced, so that only lists, dictionaries, tuples, texts, numbers and
    the notes above come into being.

    Args:
        file: opened, at the pickle's beginning.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: Stream) -> None:
        super().__init__(file, encoding="latin1")
        self.proto = 0
        self.skipped: dict[str, int] = {}
        self.storages: dict[str, StorageNote] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The name alone, as Python 3 has it; nothing is looked up."""
        if self.proto < _FIRST_OF_PYTHON_3:
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        full_name = Name(module, name)
        if _runs_code(full_name):
            raise CodeError(str(full_name))
        return full_name

    def persistent_load(self, pid: Any) -> Any:
        """A note of a storage; anything else that lies outside the pickle is inert."""
        note = storage_note(pid)
        return self.storages.setdefault(note.key, note) if isinstance(note, StorageNote) else note

    def make(self, what: Any, arguments: Any) -> Any:
        """What a call comes to: a container, a note of a tensor, or the placeholder."""
        if not isinstance(what, Name):
            return INERT
        made = made_of(what, arguments if isinstance(arguments, tuple) else ())
        if made is INERT:
            self.skipped[str(what)] = self.skipped.get(str(what), 0) + 1
        return made


def _load_reduce(reader: Any) -> None:
    arguments = reader.stack.pop()
    reader.stack[-1] = reader.make(reader.stack[-1], arguments)


def _load_newobj(reader: Any) -> None:
    _load_reduce(reader)


def _load_newobj_ex(reader: Any) -> None:
    reader.stack.pop()  # keyword arguments
    _load_reduce(reader)


def _load_obj(reader: Any) -> None:
    what, *arguments = reader.pop_mark()
    reader.append(reader.make(what, tuple(arguments)))


def _load_inst(reader: Any) -> None:
    module, name = (reader.readline()[:-1].decode("ascii") for _ in range(2))
    arguments = tuple(reader.pop_mark())
    reader.append(reader.make(reader.find_class(module, name), arguments))


def _load_build(reader: Any) -> None:
    reader.stack.pop()  # nothing has a state


def _load_append(reader: Any) -> None:
    _extend(reader, [reader.stack.pop()])


def _load_appends(reader: Any) -> None:
    _extend(reader, reader.pop_mark())


def _extend(reader: Any, items: list[Any]) -> None:
    if type(reader.stack[-1]) is list:
        reader.stack[-1].extend(items)


def _load_setitem(reader: Any) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    _update(reader, [key, value])


def _load_setitems(reader: Any) -> None:
    _update(reader, reader.pop_mark())


def _load_dict(reader: Any) -> None:
    items = reader.pop_mark()
    reader.append({})
    _update(reader, items)


def _update(reader: Any, items: list[Any]) -> None:
    """Keys are texts and small numbers alone: others could be made to collide, or to nest without end."""
    target = reader.stack[-1]
    if type(target) is dict:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str) or (isinstance(key, int) and abs(key) < _LARGEST_KEY):
                target[key] = value


def _load_empty_set(reader: Any) -> None:
    reader.append(INERT)


def _load_additems(reader: Any) -> None:
    reader.pop_mark()


def _load_frozenset(reader: Any) -> None:
    reader.pop_mark()
    reader.append(INERT)


_LARGEST_KEY: Final = 1 << 31

Reader.dispatch |= {
    pickle.REDUCE[0]: _load_reduce,
    pickle.NEWOBJ[0]: _load_newobj,
    pickle.NEWOBJ_EX[0]: _load_newobj_ex,
    pickle.OBJ[0]: _load_obj,
    pickle.INST[0]: _load_inst,
    pickle.BUILD[0]: _load_build,
    pickle.APPEND[0]: _load_append,
    pickle.APPENDS[0]: _load_appends,
    pickle.SETITEM[0]: _load_setitem,
    pickle.SETITEMS[0]: _load_setitems,
    pickle.DICT[0]: _load_dict,
    pickle.EMPTY_SET[0]: _load_empty_set,
    pickle.ADDITEMS[0]: _load_additems,
    pickle.FROZENSET[0]: _load_frozenset,
}
# These take memory before they have read it, or objects from a table of the process.
for _code in (
    *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
    *(pickle.EXT1, pickle.EXT2, pickle.EXT4),
):
    del Reader.dispatch[_code[0]]


_PROGRAMS: Final = frozenset(
    {"subprocess", "multiprocessing", "pty", "runpy", "importlib", "ctypes", "code", "webbrowser", "shutil"}
)
_SYSTEM: Final = frozenset({"os", "posix", "nt", "sys"})
_BUILT_IN: Final = frozenset({"eval", "exec", "execfile", "compile", "open", "__import__"})


def _runs_code(name: Name) -> bool:
    """Whether a name is known to start programs or code. Here it cannot; the file is refused all the same."""
    home = name.module.partition(".")[0]
    if home in _SYSTEM:
        return name.name[:1].islower() and not name.name.endswith("_result")  # functions, no records
    if home in ("builtins", "__builtin__"):
        return name.name in _BUILT_IN
    if home in ("pickle", "_pickle", "cPickle", "marshal"):
        return name.name in ("load", "loads")
    return home in _PROGRAMS
