"""What is kept of the objects in a pickle: notes of where tensors lie, plain containers, and names.

Nothing here reads a file or calls what a file names: each function turns the arguments that a pickle gives
for one of torch's own constructors into a note, and anything else into one placeholder that holds nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import torch


class Name(NamedTuple):
    """A function or class that a pickle names; it stays a name."""

    module: str
    name: str

    def __str__(self) -> str:
        """As Python would write it."""
        return f"{self.module}.{self.name}"


class Inert:
    """What stands in a pickle for everything that is neither a tensor nor plain data."""

    __slots__ = ()


INERT: Final = Inert()


class StorageNote(NamedTuple):
    """Where numbers lie: the storage's key in the file, the type of its elements, and their count."""

    key: str
    dtype: torch.dtype
    elements: int


class TensorNote(NamedTuple):
    """A tensor that has not been read: a view into a storage, offset and strides in elements of `dtype`."""

    storage: StorageNote
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def made_of(name: Name, arguments: tuple[Any, ...]) -> Any:
    """What a call comes to that a pickle asks for: a container, a note of a tensor, or the placeholder."""
    maker = _MAKERS.get(name)
    return INERT if maker is None else maker(*arguments)


def storage_note(pid: Any) -> Any:
    """What a pickle says lies outside it: a note of a storage, the name of a class, or the placeholder."""
    if not isinstance(pid, tuple) or len(pid) < 2:
        return INERT
    if pid[0] == "module" and isinstance(pid[1], Name):  # old files keep the source beside a class
        return pid[1]
    if pid[0] == "storage" and len(pid) in (5, 6) and pid[5:] in ((), (None,)):
        dtype, count = _element(pid[1]), pid[4]
        if dtype is not None and _is_count(count):
            return StorageNote(str(pid[2]), dtype, count)
    return INERT


def _defaulting(*_: Any) -> dict[Any, Any]:
    """An empty dictionary, which later instructions fill; what makes missing items is left out."""
    return {}


def _ordered(*arguments: Any) -> dict[Any, Any]:
    """An ordered dictionary; Python 2 wrote its items as a list of pairs."""
    items = arguments[0] if arguments and isinstance(arguments[0], list) else []
    pairs = [item for item in items if isinstance(item, list | tuple) and len(item) == 2]
    return {key: value for key, value in pairs if isinstance(key, str)}


def _tensor(storage: Any = None, offset: Any = 0, size: Any = (), stride: Any = (), *_: Any) -> Any:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`, which goes on with bookkeeping."""
    dtype = storage.dtype if isinstance(storage, StorageNote) else None
    return _noted(storage, dtype, offset, size, stride)


def _tensor_v3(*arguments: Any) -> Any:
    """`torch._utils._rebuild_tensor_v3`: an untyped storage, and the type behind the bookkeeping."""
    if len(arguments) < 7:
        return INERT
    storage, offset, size, stride, _, _, dtype = arguments[:7]
    return _noted(storage, _dtype(dtype), offset, size, stride)


def _noted(storage: Any, dtype: torch.dtype | None, offset: Any, size: Any, stride: Any) -> Any:
    whole = all(isinstance(lengths, tuple) and all(map(_is_count, lengths)) for lengths in (size, stride))
    if not isinstance(storage, StorageNote) or dtype is None or not whole or not _is_count(offset):
        return INERT
    return TensorNote(storage, dtype, offset, size, stride) if len(size) == len(stride) else INERT


def _first(*arguments: Any) -> Any:
    """A parameter, or a tensor of another device: the tensor in it."""
    return arguments[0] if arguments and isinstance(arguments[0], TensorNote) else INERT


def _from_type(*arguments: Any) -> Any:
    """`torch._tensor._rebuild_from_type_v2`: a tensor with attributes; the tensor alone is kept."""
    function = arguments[0] if arguments else None
    inner = _MAKERS.get(function) if isinstance(function, Name) else None
    if inner in (_tensor, _tensor_v3, _first) and len(arguments) > 2 and isinstance(arguments[2], tuple):
        return inner(*arguments[2])
    return INERT


def _size(*arguments: Any) -> Any:
    return arguments[0] if arguments and isinstance(arguments[0], tuple) else INERT


_MAKERS: Final[Mapping[Name, Callable[..., Any]]] = {
    Name("collections", "OrderedDict"): _ordered,
    Name("collections", "defaultdict"): _defaulting,
    Name("torch", "Size"): _size,
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    Name("torch._utils", "_rebuild_parameter"): _first,
    Name("torch._utils", "_rebuild_parameter_with_state"): _first,
    Name("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
    Name("torch.nn.parameter", "Parameter"): _first,
    Name("torch._tensor", "_rebuild_from_type_v2"): _from_type,
}

_ELEMENTS: Final = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


def _element(what: Any) -> torch.dtype | None:
    is_torchs = isinstance(what, Name) and what.module in ("torch", "torch.cuda", "torch.storage")
    return _ELEMENTS.get(what.name) if is_torchs else None


def _dtype(what: Any) -> torch.dtype | None:
    # Not by `getattr`, which imports parts of torch (`torch.onnx`) that nobody has asked for yet.
    dtype = vars(torch).get(what.name) if isinstance(what, Name) and what.module == "torch" else None
    return dtype if isinstance(dtype, torch.dtype) else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 62
