"""What an object of Python's is made of, as a digest: two runs with different objects are different runs."""

import dataclasses
import enum
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CellType, CodeType, ModuleType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from advbench.jobs.own_code import is_own, read_by, written_in_class

_SIMPLE: Final = (bool, int, float, complex, str, bytes, type(None), Path)
_TOLD_BY_NAME: Final = (*_SIMPLE, range, slice, torch.dtype, torch.device, enum.Enum)
"""Whose `repr` says all of them."""

_OF_EVERY_MODULE: Final = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}
"""Attributes that torch keeps in every module; what of them matters is asked for by name."""


def state_digest(thing: object) -> str:
    """SHA-256 of an object's class, its settings, its tensors, and the code of its functions.

    Of code that the caller has written, the methods of a class and the globals that a function reads belong
    to it: in a notebook they change while every name stays. Installed packages are told by their names, and
    what an extension module keeps to itself is no part of it.

    Args:
        thing: a module, a function, or any other object.
    """
    return _digest(thing, frozenset(), {}).hex()


def is_told_by_settings(thing: object) -> bool:
    """Whether the plain fields of a dataclass are all that an object is made of."""
    if not dataclasses.is_dataclass(thing) or isinstance(thing, nn.Module):
        return False
    values = [getattr(thing, field.name) for field in dataclasses.fields(thing) if field.compare]
    return all(isinstance(item, _SIMPLE) for value in values for item in _items(value))


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _items(item)
    else:
        yield value


Known = dict[int, tuple[Any, bytes]]
"""What was looked at, by its id, which holds as long as the object is kept, with its digest."""


def _digest(thing: Any, above: frozenset[int], known: Known) -> bytes:
    """The digest of an object; `above` holds the ids of what it is a part of."""
    if isinstance(thing, _TOLD_BY_NAME):
        return hashlib.sha256(f"{type(thing).__qualname__} {thing!r}".encode()).digest()
    if id(thing) in above:
        return b"itself"
    if id(thing) not in known:
        whole = hashlib.sha256(f"{type(thing).__module__}.{type(thing).__qualname__}".encode())
        if is_own(type(thing).__module__):
            whole.update(_digest(type(thing), above | {id(thing)}, known))
        if isinstance(thing, Tensor | np.ndarray) and not _holds_objects(thing):
            whole.update(_bytes(thing))
        else:
            for part in _parts(thing):
                whole.update(_digest(part, above | {id(thing)}, known))
        known[id(thing)] = thing, whole.digest()
    return known[id(thing)][1]


def _holds_objects(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.hasobject


def _bytes(values: Any) -> bytes:
    """A tensor or an array: its type, its shape and its contents."""
    head = f"{values.dtype} {tuple(values.shape)}".encode()
    if isinstance(values, Tensor):
        if values.layout != torch.strided:
            head, values = f"{head.decode()} {values.layout}".encode(), values.detach().to_dense()
        values = values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return head + bytes(np.ascontiguousarray(values).tobytes())


def _parts(thing: Any) -> Iterator[Any]:
    """What an object holds, in an order that does not change from one start of Python to the next."""
    if isinstance(thing, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        yield list(_program(thing))
    if isinstance(thing, type | ModuleType):
        yield f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing.__name__)}"
        if isinstance(thing, type):
            yield from written_in_class(thing)
    elif isinstance(thing, Mapping):
        yield from thing.items()
    elif isinstance(thing, set | frozenset):
        yield from sorted(map(state_digest, thing))
    elif isinstance(thing, tuple | list):
        yield from thing
    elif isinstance(thing, np.ndarray):
        yield from (thing.shape, thing.ravel().tolist())
    elif isinstance(thing, nn.Module):
        yield from _module(thing)
    elif dataclasses.is_dataclass(thing):
        yield from (getattr(thing, field.name) for field in dataclasses.fields(thing) if field.compare)
    else:
        yield from _code(thing) if _is_code(thing) else _own(thing)


def _module(module: nn.Module) -> Iterator[Any]:
    """What a module holds; of what torch.compile has wrapped, and compiles as it is called, the original."""
    if "_orig_mod" in module._modules:
        yield module._orig_mod
        return
    yield from (list(module.named_parameters(recurse=False)), list(module.named_buffers(recurse=False)))
    yield from (list(module.named_children()), list(module._forward_hooks.values()))
    yield [*module._forward_pre_hooks.values(), *_own(module, without=_OF_EVERY_MODULE)]


def _is_code(thing: object) -> bool:
    return isinstance(thing, partial | CodeType) or inspect.ismethod(thing) or inspect.isroutine(thing)


def _code(thing: Any) -> Iterator[Any]:
    """What a function does and what it was given beforehand."""
    if isinstance(thing, partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, CodeType):
        yield from (thing.co_code, thing.co_names, thing.co_consts)
    elif inspect.ismethod(thing):
        yield from (thing.__func__, thing.__self__)
    else:
        yield f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"
        if inspect.isfunction(thing):
            yield from (thing.__code__, thing.__defaults__, thing.__kwdefaults__)
            yield [_content(cell) for cell in thing.__closure__ or ()]
            yield from read_by(thing)
        owner = getattr(thing, "__self__", None)
        if owner is not None and not isinstance(owner, type | ModuleType):  # `tensor.mul`
            yield owner


def _content(cell: CellType) -> Any:
    """What a variable of an outer function holds; None where it has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _program(thing: Any) -> Iterator[Any]:
    """What TorchScript runs, and its constants; without names that count what a process has compiled."""
    graph = getattr(thing, "inlined_graph", None)  # a module without `forward` has none
    if graph is None:
        return
    yield re.sub(r"___torch_mangle_\d+\.|\s*#.*", "", str(graph))
    for node in graph.findAllNodes("prim::Constant", True):
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            yield node.t("value")


def _own(thing: object, without: frozenset[str] = frozenset()) -> list[tuple[str, Any]]:
    """The attributes that are an object's own."""
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    held = {name: getattr(thing, name) for name in slots if hasattr(thing, name) and name[:2] != "__"}
    return [
        (name, value)
        for name, value in {**held, **getattr(thing, "__dict__", {})}.items()
        if name not in without
    ]
