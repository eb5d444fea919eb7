"""ONNX files, looked at before any runtime is given them: sizes, external weights, operators."""

import errno
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from advbench.errors import CheckpointError, first_line, printable
from advbench.files import sha256
from advbench.models.libraries import load_library
from advbench.regular_files import check_regular, read_regular

EXTRA: Final = "onnx"
_ENDING: Final = ".onnx"
_LARGEST: Final = (1 << 31) - 1  # bytes; a message of protobuf has no more
_KNOWN: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains whose operators onnxruntime brings along."""

_DIGITS: Final = 20  # of a number of bytes; more of them than any file has
_EXTERNAL: Final = 1  # TensorProto.EXTERNAL
_BITS: Final = {
    **dict.fromkeys((1, 6, 12), 32),  # float, int32, uint32
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20), 8),  # uint8, int8, bool, the kinds of float8
    **dict.fromkeys((4, 5, 10, 16), 16),  # uint16, int16, float16, bfloat16
    **dict.fromkeys((7, 11, 13, 14), 64),  # int64, double, uint64, complex64
    **dict.fromkeys((21, 22, 23), 4),  # uint4, int4, float4
    15: 128,  # complex128
}
"""Bits of an element by TensorProto.DataType; strings are not among them."""
_HALF: Final = 10  # float16


class OnnxFile(NamedTuple):
    """A file that was looked at.

    Args:
        path: of the file.
        contents: its bytes, without external weights.
        model: the parsed ModelProto.
        external: files of weights beside it, in the order of their names.
        digest: SHA-256 of the file; where it has external weights, that of the names and digests of all.
    """

    path: Path
    contents: bytes
    model: Any
    external: tuple[Path, ...]
    digest: str

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` keeps of it."""
        model = self.model
        return {
            "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
            "producer": printable(f"{model.producer_name} {model.producer_version}".strip()),
            **({"external": [path.name for path in self.external]} if self.external else {}),
        }

    @property
    def computes_in_half(self) -> bool:
        """Whether an operator other than a conversion is given float16."""
        halves = {value.name for value in self.model.graph.input if _is_half(value)}
        halves |= {tensor.name for tensor in _tensors(self.model) if tensor.data_type == _HALF}
        for node in _nodes(self.model):
            if node.op_type != "Cast" and not halves.isdisjoint(node.input):
                return True
            if any(
                one.i == _HALF if one.name == "to" else one.t.data_type == _HALF for one in node.attribute
            ):
                halves.update(node.output)
        return False


def _is_half(value: Any) -> bool:
    return bool(value.type.tensor_type.elem_type == _HALF)


def names_onnx(name: str) -> bool:
    """Whether a model's name is that of an ONNX file."""
    return name.lower().endswith(_ENDING)


def digest_of_onnx(path: Path) -> str:
    """The digest of an ONNX file and its external weights, as `read_onnx` gives it.

    Raises:
        CheckpointError: as `read_onnx`.
    """
    return read_onnx(path).digest


def read_onnx(path: Path) -> OnnxFile:
    """Read a file, and see whether it is whole and names nothing that is not beside it.

    Raises:
        InputError: onnx is not installed; no such file, a damaged one, external weights that are missing or
            elsewhere, tensors that hold less than they declare, or operators that no runtime knows.
    """
    onnx = load_library(EXTRA, "onnx")
    try:
        contents = read_regular(path, _LARGEST)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        model = onnx.load_model_from_string(contents)
    except Exception as error:  # protobuf's, of several versions: truncated, nested too deep
        raise CheckpointError(f"{path} is no ONNX model, or truncated or damaged.") from error
    if not model.graph.node or not model.opset_import:
        raise CheckpointError(f"{path} is no ONNX model, or truncated: it has no operators.")
    _check_operators(path, model)
    external: set[Path] = set()
    for tensor in _tensors(model):
        _check_tensor(path, tensor, external)
    files = tuple(sorted(external))
    return OnnxFile(path, contents, model, files, _digest(contents, files))


def _digest(contents: bytes, external: tuple[Path, ...]) -> str:
    own = hashlib.sha256(contents).hexdigest()
    if not external:
        return own
    parts = [own, *(f"{path.name} {sha256(path)}" for path in external)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _check_operators(path: Path, model: Any) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        if node.domain not in _KNOWN and (node.domain, node.op_type) not in own:
            raise CheckpointError(
                f"{path} has the custom operator {printable(node.op_type)!r} of the domain "
                f"{printable(node.domain)!r}, which onnxruntime does not know. Export it with "
                "standard operators."
            )


def _nodes(model: Any) -> Iterator[Any]:
    """Every node, those of subgraphs and of functions included; protobuf bounds how deep they nest."""
    graphs = [model.graph, *model.functions]
    while graphs:
        for node in graphs.pop().node:
            yield node
            for attribute in node.attribute:
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _tensors(model: Any) -> Iterator[Any]:
    graphs = [model.graph]
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def _check_tensor(path: Path, tensor: Any, external: set[Path]) -> None:
    """See whether a tensor holds as much as it declares, before anybody takes memory for it."""
    name = printable(tensor.name)[:60]
    if any(side < 0 for side in tensor.dims):
        raise CheckpointError(f"{path} is damaged: its tensor {name!r} has a negative side.")
    count = math.prod(tensor.dims)
    bits = _BITS.get(tensor.data_type)
    if tensor.data_location == _EXTERNAL:
        held = _external_bytes(path, tensor, external)
        whole = bits is not None and held * 8 >= count * bits
    elif tensor.HasField("raw_data"):
        held = len(tensor.raw_data)
        whole = bits is not None and held * 8 >= count * bits
    else:
        held = tensor.ByteSize()
        whole = count <= 2 * held  # no element takes less than half a byte
    if not whole:
        raise CheckpointError(
            f"{path} is damaged: its tensor {name!r} declares {count:,} elements, and holds {held:,} bytes."
        )


def _external_bytes(path: Path, tensor: Any, external: set[Path]) -> int:
    """How many bytes a tensor has in a file beside the model."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    shown = printable(location)[:100]
    folder = path.parent.resolve()
    if "\0" in location:
        raise CheckpointError(f"{path} is damaged: external weights, {shown!r} is no file's name.")
    try:
        file = (folder / location).resolve()
        is_beside = bool(location) and not Path(location).is_absolute() and file.is_relative_to(folder)
        if is_beside:
            check_regular(file)
            size = file.stat().st_size
    except OSError as error:
        reason = "are not there" if error.errno == errno.ENOENT else f"cannot be read ({error.strerror})"
        raise CheckpointError(
            f"the external weights {shown!r} of {path} {reason}. Put them beside it, under that name."
        ) from error
    except RuntimeError as error:  # a link to itself
        raise CheckpointError(f"{path} is damaged: external weights, {first_line(error)}.") from error
    if not is_beside:
        raise CheckpointError(f"{path} is refused: its external weights {shown!r} lie outside its folder.")
    offset = _number(path, entries.get("offset") or "0")
    length = _number(path, entries.get("length") or str(max(0, size - offset)))
    if offset < 0 or length < 0 or offset + length > size:
        raise CheckpointError(f"{path.parent / shown} is truncated, or not the weights of {path.name}.")
    external.add(file)
    return length


def _number(path: Path, text: str) -> int:
    try:
        return int(text[:_DIGITS])
    except ValueError:
        raise CheckpointError(
            f"{path} is damaged: external weights, {printable(text)[:40]!r} is no number of bytes."
        ) from None
