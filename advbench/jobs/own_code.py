"""Code that a caller has written, which changes from one call to the next while its name stays."""

import dis
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np
from torch import Tensor

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_SETS_AN_ITEM: Final = "STORE_SUBSCR"
_RECORDING: Final = frozenset(
    {"add", "append", "clear", "extend", "insert", "pop", "setdefault", "update", _SETS_AN_ITEM}
)
"""Methods that change a list, a set or a dictionary, beside the step that sets one of its items."""

_VALUES: Final = (bool, int, float, complex, str, bytes, type(None), Path, Tensor, np.ndarray, np.generic)


def is_own(module: str) -> bool:
    """Whether code of a module is the caller's: not Python's or an installed package's, which have versions.

    Args:
        module: its name, `__main__` in a notebook.
    """
    if module == "__main__":
        return True
    if module.partition(".")[0] in {*sys.stdlib_module_names, "advbench"}:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or _INSTALLED.isdisjoint(Path(file).parts)


def written_in_class(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods and the plain attributes of a class and of its bases, as far as they are the caller's."""
    for base in kind.__mro__:
        if is_own(base.__module__):
            for name, value in vars(base).items():
                if isinstance(value, property):
                    yield name, (value.fget, value.fset, value.fdel)
                    continue
                plain = getattr(value, "__func__", value)  # of a static or a class method
                if isinstance(plain, FunctionType) or (name[:2] != "__" and _is_told(plain)):
                    yield name, plain


def read_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The globals that a function of the caller's reads: values, functions, classes and modules.

    Left out is what keeps records, because it changes while nothing of the function does: a dictionary of
    activations, names that the function sets, and any list, set or dictionary where it appends to one.
    """
    if not is_own(function.__module__ or "__main__"):
        return
    read, attributes = _names_in(function.__code__)
    keeps_records = not _RECORDING.isdisjoint(attributes)
    for name in sorted(read):
        value = function.__globals__.get(name)
        if keeps_records and isinstance(value, list | set | Mapping):
            continue
        if isinstance(value, ModuleType) and is_own(value.__name__):
            held = vars(value)
            yield name, [(at, held[at]) for at in sorted(attributes & held.keys()) if _is_told(held[at])]
        elif name in function.__globals__ and _is_told(value):
            yield name, value


def _names_in(code: CodeType) -> tuple[set[str], set[str]]:
    """The globals that code reads and does not set, and all other names in it, inner functions included."""
    steps = list(dis.get_instructions(code))
    read = {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    read -= {step.argval for step in steps if step.opname in ("STORE_GLOBAL", "STORE_NAME")}
    names = {*code.co_names, *(step.opname for step in steps if step.opname == _SETS_AN_ITEM)}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more, others = _names_in(inner)
            read, names = read | more, names | others
    return read, names


def _is_told(value: Any) -> bool:
    """Whether a value says what code does with it; modules are told by their names."""
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_told, value))
    if isinstance(value, Mapping):
        return all(isinstance(item, str | int) for item in value) and not any(
            isinstance(item, Tensor) or not _is_told(item) for item in value.values()
        )
    return isinstance(value, _VALUES) or callable(value)
