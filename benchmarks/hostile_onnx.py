"""Hostile ONNX files: operators of nobody's, weights that are not beside them, shapes without end.

    python -m benchmarks.hostile_onnx --count 200 --seed 0 --out onnx.jsonl

As `benchmarks.hostile_files`, with models in place of checkpoints; needs onnx, onnxruntime and onnx2pytorch.
Each file holds the same small network of the digits' pixels, and one thing that should not be.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from advbench.errors import InputError
from advbench.models.libraries import load_library
from advbench.models.onnx_file import EXTRA
from benchmarks.forked_cases import Case, asked, outcomes, tell
from benchmarks.fuzz_lines import SMALL_ATTACK, import_everything
from benchmarks.hostile_damage import ANYWHERE, put_folder, put_link, put_nothing, put_pipe, put_socket

_SHAPE: Final = ("n", 1, 8, 8)
_SIDES: Final = (1 << 20, 1 << 32, 1 << 40, (1 << 63) - 1)
_OUTSIDE: Final = ("../outside.bin", "/etc/passwd", "a/../../outside.bin", "/dev/zero", "", ".", "link/x.bin")


@cache
def _library() -> Any:
    """onnx, which has no types; where it is not installed a line says what to install."""
    return load_library(EXTRA, "onnx")


def _array(values: Any, name: str) -> Any:
    return _library().numpy_helper.from_array(values, name)


def _node(*words: Any, **attributes: Any) -> Any:
    return _library().helper.make_node(*words, **attributes)


def model_of(
    before: Sequence[Any] = (),
    *,
    shape: Sequence[Any] = _SHAPE,
    more: Sequence[Any] = (),
    logits: Sequence[Any] = ("n", 10),
) -> Any:
    """A model of given operators from `x` to `flat`, then a linear layer of 64 pixels to 10 logits."""
    helper, kind = _library().helper, _library().TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    nodes = list(before) or [_node("Flatten", ["x"], ["flat"])]
    graph = helper.make_graph(
        [*nodes, _node("MatMul", ["flat", "w"], ["logits"])],
        "net",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("logits", kind, list(logits))],
        [_array(weights, "w"), *more],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own.domain", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _sound(_: random.Random) -> Any:
    return model_of()


def _custom_operator(draw: random.Random) -> Any:
    """An operator of a domain, or of a name, that no runtime has."""
    domain = draw.choice(["own.domain", "", "com.microsoft", "ai.onnx.ml", "a\x1b[31m"])
    strange = _node(draw.choice(["Strange", "PyOp", "x" * 9000]), ["x"], ["y"], domain=domain)
    return model_of([strange, _node("Flatten", ["y"], ["flat"])])


def _other_axis(draw: random.Random) -> Any:
    """A dynamic axis that is not the batch, two of them, none, or another number of dimensions."""
    return model_of(
        shape=draw.choice(
            [
                (1, 1, 8, "w"),
                (1, "c", 8, 8),
                ("n", 1, "h", "w"),
                (1, 1, 8, 8),
                ("n", 1, 8),
                ("n", "n", 8, 8),
                (),
                ("n", 0, 8, 8),
                ("n", -1, 8, 8),
            ]
        )
    )


def _declared_shape(draw: random.Random) -> Any:
    """Pixels, logits or weights that declare to be far more than there is."""
    side = draw.choice(_SIDES)
    match draw.choice(["x", "logits", "weights", "sparse"]):
        case "x":
            return model_of(shape=draw.choice([("n", 1, side, 8), ("n", side, 8, 8), (side, 1, 8, 8)]))
        case "logits":
            return model_of(logits=("n", side))
        case "weights":
            model = model_of()
            model.graph.initializer[0].dims[0] = side
            return model
        case _:
            values = _array(np.ones(1, np.float32), "s")
            places = _array(np.zeros(1, np.int64), "s_places")
            model = model_of()
            model.graph.sparse_initializer.append(
                _library().helper.make_sparse_tensor(values, places, [side, 10])
            )
            return model


def _computed_shape(draw: random.Random) -> Any:
    """Operators that make far more of a number than anybody has memory for."""
    side = draw.choice(_SIDES)
    shape = _array(np.array([side, 64], np.int64), "shape")
    if draw.random() < 0.5:
        made = _node("ConstantOfShape", ["shape"], ["huge"])
    else:
        one = _array(np.ones((1, 64), np.float32), "one")
        made = _node("Expand", ["one", "shape"], ["huge"])
        return model_of([made, *_summed()], more=[shape, one])
    return model_of([made, *_summed()], more=[shape])


def _summed() -> list[Any]:
    return [
        _node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        _node("Flatten", ["x"], ["plain"]),
        _node("Add", ["plain", "sum"], ["flat"]),
    ]


_MADE: Final[tuple[Callable[[random.Random], Any], ...]] = (
    _sound,
    _custom_operator,
    _other_axis,
    _declared_shape,
    _computed_shape,
)


def hostile_onnx(draw: random.Random, folder: Path) -> list[str]:
    """Write a file; the words of an attack on it."""
    path = folder / "net.onnx"
    match draw.choice(["made", "made", "external", "external", "damaged"]):
        case "made":
            path.write_bytes(draw.choice(_MADE)(draw).SerializeToString())
        case "external":
            _with_external(draw, path)
        case _:
            path.write_bytes(_sound(draw).SerializeToString())
            draw.choice(ANYWHERE)(draw, path)
    return ["attack", *SMALL_ATTACK, "--dataset", "digits", "--model", str(path)]


def _with_external(draw: random.Random, path: Path) -> None:
    """Weights in another file: none there, elsewhere, a pipe in its place, or other numbers."""
    onnx = _library()
    onnx.save(
        model_of(), str(path), save_as_external_data=True, location="w.bin", size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    weights = path.parent / "w.bin"
    match draw.choice(["gone", "outside", "pipe", "numbers", "link"]):
        case "gone":
            weights.unlink()
        case "pipe":
            draw.choice([put_pipe, put_folder, put_socket, put_link, put_nothing])(draw, weights)
        case "link":
            weights.unlink()
            weights.symlink_to(draw.choice(["/etc/passwd", "/dev/zero", "../outside.bin", "w.bin"]))
        case what:
            model = onnx.load(str(path), load_external_data=False)
            entries = model.graph.initializer[0].external_data
            if what == "outside":
                next(entry for entry in entries if entry.key == "location").value = draw.choice(_OUTSIDE)
            else:
                key = draw.choice(["offset", "length"])
                value = draw.choice(["-1", "x", str(1 << 62), "9" * 5000, "0"])
                found = next((entry for entry in entries if entry.key == key), None) or entries.add()
                found.key, found.value = key, value
            path.write_bytes(model.SerializeToString())


def cases(count: int, seed: int) -> Iterator[Case]:
    """The files, each a function of the seed and its number."""
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")  # noqa: S311  # no secrets
        yield Case(number, "ONNX", partial(hostile_onnx, draw))


def run(count: int, seed: int, kept: Path | None = None, *, verbose: bool = False) -> tuple[str, bool]:
    """Run a command on each file; the figures, and whether all is well."""
    from advbench.cli import main as advbench  # noqa: PLC0415  # with all that it imports

    try:
        _library()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    import_everything()
    tried = outcomes(cases(count, seed), kept, advbench)
    return tell(tried, "hostile ONNX files", seed, verbose=verbose)


if __name__ == "__main__":
    asked("Hostile ONNX files.", 200, run)
