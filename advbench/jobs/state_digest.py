"""What an object of Python's is made of, as a digest: two runs with different objects are different runs."""

import dataclasses
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None), Path)


def state_digest(thing: object) -> str:
    """SHA-256 of an object's class, its settings, its tensors, and the code of its functions.

    Globals that a function reads, and what an extension module keeps to itself, are no part of it.

    Args:
        thing: a module, a function, or any other object.
    """
    digest = hashlib.sha256()
    for part in _parts(thing, set()):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def is_told_by_settings(thing: object) -> bool:
    """Whether the plain fields of a dataclass are all that an object is made of."""
    if not dataclasses.is_dataclass(thing) or isinstance(thing, nn.Module):
        return False
    values = [getattr(thing, field.name) for field in dataclasses.fields(thing) if field.compare]
    return all(isinstance(item, _PLAIN) for value in values for item in _items(value))


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _items(item)
    else:
        yield value


def _parts(thing: Any, above: set[int]) -> Iterator[bytes]:
    """The parts of an object in their order; `above` holds the ids of what it is a part of."""
    if isinstance(thing, _PLAIN):
        yield f"{type(thing).__name__} {thing!r}".encode()
        return
    if id(thing) in above:
        yield b"itself"
        return
    above = above | {id(thing)}
    yield f"{type(thing).__module__}.{type(thing).__qualname__}".encode()
    if isinstance(thing, Tensor):
        yield from _parts(thing.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), above)
        yield f"{thing.dtype} {tuple(thing.shape)}".encode()
    elif isinstance(thing, np.ndarray):
        yield f"{thing.dtype} {thing.shape}".encode()
        yield np.ascontiguousarray(thing).tobytes()
    elif isinstance(thing, type):
        yield f"{thing.__module__}.{thing.__qualname__}".encode()
    else:
        for part in _inner(thing):
            yield from _parts(part, above)


def _inner(thing: Any) -> Iterator[Any]:
    """What an object holds, in an order that does not change from one start of Python to the next."""
    if isinstance(thing, Mapping):
        yield from thing.items()
    elif isinstance(thing, set | frozenset):
        yield from sorted(map(state_digest, thing))
    elif isinstance(thing, tuple | list):
        yield from thing
    elif isinstance(thing, nn.Module):
        yield from (list(thing.named_parameters(recurse=False)), list(thing.named_buffers(recurse=False)))
        yield list(thing.named_children())
        yield [pair for pair in _own(thing) if pair[0] != "training"]
    elif dataclasses.is_dataclass(thing):
        yield from (getattr(thing, field.name) for field in dataclasses.fields(thing) if field.compare)
    else:
        yield from _code(thing) if _is_code(thing) else _own(thing)


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
            yield [cell.cell_contents for cell in thing.__closure__ or ()]


def _own(thing: object) -> list[tuple[str, Any]]:
    """The public attributes that are an object's own."""
    return [(name, value) for name, value in getattr(thing, "__dict__", {}).items() if name[:1] != "_"]
