"""What a pickle asks for becomes a note, a plain container, or the placeholder; nothing is made."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advbench.models.checkpoint.notes import INERT, Name, StorageNote, TensorNote, made_of, storage_note

FLOATS = StorageNote("0", torch.float32, 12)
BYTES = StorageNote("1", torch.uint8, 48)
MATRIX = TensorNote(FLOATS, torch.float32, 2, (2, 3), (3, 1))
UTILS = "torch._utils"
HOOKS: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ((UTILS, "_rebuild_tensor"), (FLOATS, 2, (2, 3), (3, 1)), MATRIX),
        ((UTILS, "_rebuild_tensor_v2"), (FLOATS, 2, (2, 3), (3, 1), False, HOOKS), MATRIX),
        (
            (UTILS, "_rebuild_tensor_v3"),
            (BYTES, 8, (1,), (1,), False, HOOKS, Name("torch", "bfloat16")),
            TensorNote(BYTES, torch.bfloat16, 8, (1,), (1,)),
        ),
        ((UTILS, "_rebuild_parameter"), (MATRIX, True, HOOKS), MATRIX),
        (("torch.nn.parameter", "Parameter"), (MATRIX, True), MATRIX),
        (
            ("torch._tensor", "_rebuild_from_type_v2"),
            (Name(UTILS, "_rebuild_tensor_v2"), Name("torch", "Tensor"), (FLOATS, 2, (2, 3), (3, 1)), HOOKS),
            MATRIX,
        ),
        (("collections", "OrderedDict"), (), {}),
        (("collections", "OrderedDict"), ([["a", 1], ("b", 2), (3, 4), "cd", ["e"]],), {"a": 1, "b": 2}),
        (("collections", "defaultdict"), (Name("builtins", "list"),), {}),
        (("torch", "Size"), ((2, 3),), (2, 3)),
    ],
)
def test_torchs_own_constructors_become_what_they_describe(
    name: tuple[str, str], arguments: tuple[Any, ...], expected: Any
) -> None:
    assert made_of(Name(*name), arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (("os", "system"), ("true",)),
        (("builtins", "getattr"), (FLOATS, "key")),
        ((UTILS, "_rebuild_tensor_v2"), ()),
        ((UTILS, "_rebuild_tensor_v2"), (INERT, 0, (1,), (1,))),
        ((UTILS, "_rebuild_tensor_v2"), (FLOATS, -1, (1,), (1,))),
        ((UTILS, "_rebuild_tensor_v2"), (FLOATS, 0, (1 << 62,), (1,))),
        ((UTILS, "_rebuild_tensor_v2"), (FLOATS, 0, (2, 3), (1,))),
        ((UTILS, "_rebuild_tensor_v2"), (FLOATS, 0, [2], [1])),
        ((UTILS, "_rebuild_tensor_v3"), (BYTES, 0, (1,), (1,), False, HOOKS)),
        ((UTILS, "_rebuild_tensor_v3"), (BYTES, 0, (1,), (1,), False, HOOKS, Name("os", "float32"))),
        ((UTILS, "_rebuild_tensor_v3"), (BYTES, 0, (1,), (1,), False, HOOKS, Name("torch", "load"))),
        ((UTILS, "_rebuild_parameter"), ("w",)),
        (("torch._tensor", "_rebuild_from_type_v2"), (Name("os", "system"), None, ("true",), HOOKS)),
        (("torch._tensor", "_rebuild_from_type_v2"), (Name("torch", "Size"), None, ((1,),), HOOKS)),
        (("torch", "Size"), (3,)),
    ],
)
def test_anything_else_becomes_the_placeholder(name: tuple[str, str], arguments: tuple[Any, ...]) -> None:
    assert made_of(Name(*name), arguments) is INERT


def test_a_type_that_a_file_names_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some attributes of torch are modules that are imported when they are asked for."""
    asked: list[str] = []
    monkeypatch.setattr(torch, "__getattr__", asked.append)
    arguments = (BYTES, 0, (1,), (1,), False, HOOKS, Name("torch", "_a_part_of_torch"))
    assert made_of(Name(UTILS, "_rebuild_tensor_v3"), arguments) is INERT
    assert asked == []


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        (("storage", Name("torch", "FloatStorage"), "0", "cpu", 12), FLOATS),
        (("storage", Name("torch.cuda", "FloatStorage"), 0, "cuda:0", 12, None), FLOATS),
        (("storage", Name("torch.storage", "UntypedStorage"), "1", "cpu", 48), BYTES),
        (("module", Name("net", "Net"), "net.py", "class Net: ..."), Name("net", "Net")),
        (("storage", Name("torch", "FloatStorage"), "0", "cpu", 12, ("view", 0, 3)), INERT),
        (("storage", Name("torch", "QInt8Storage"), "0", "cpu", 12), INERT),
        (("storage", Name("os", "FloatStorage"), "0", "cpu", 12), INERT),
        (("storage", Name("torch", "FloatStorage"), "0", "cpu", -1), INERT),
        (("storage", Name("torch", "FloatStorage"), "0", "cpu", 12.0), INERT),
        (("module", "net"), INERT),
        (("storage",), INERT),
        ("storage", INERT),
        (None, INERT),
    ],
)
def test_what_lies_outside_a_pickle_is_a_storage_a_class_or_nothing(pid: Any, expected: Any) -> None:
    assert storage_note(pid) == expected


leaves = st.sampled_from(
    [None, True, -1, 3, 1 << 70, 0.5, "x", FLOATS, MATRIX, INERT, Name("torch", "float16")]
)
anything = leaves | st.lists(leaves, max_size=3) | st.lists(leaves, max_size=3).map(tuple)


@settings(max_examples=15)
@given(st.lists(anything, max_size=8).map(tuple))
def test_whatever_a_tensor_is_said_to_be_it_is_a_note_or_nothing(said: tuple[Any, ...]) -> None:
    for maker in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"):
        for arguments in (said, (FLOATS, *said), (FLOATS, 0, (1,), *said)):
            found = made_of(Name(UTILS, maker), arguments)
            assert found is INERT or isinstance(found, TensorNote)
