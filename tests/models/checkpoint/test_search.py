"""State dicts are looked for among everything else, each container once."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from advbench.errors import CheckpointError
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.checkpoint.notes import StorageNote, TensorNote
from advbench.models.checkpoint.search import state_dicts_in
from advbench.models.digits_cnn import DigitsCNN
from advbench.names.grammar import parse_spec


def references(depth: int, width: int) -> dict[str, Any]:
    """Dictionaries each of which refers to all of the next level by many names: one level costs one."""
    inner: dict[str, Any] = {"x": torch.zeros(1)}
    for _ in range(depth):
        inner = {f"k{number}": inner for number in range(width)}
    return inner


def circle() -> dict[str, Any]:
    content: dict[str, Any] = {"x": torch.zeros(1)}
    content["itself"] = content
    content["list"] = [content, content]
    return content


def chain() -> dict[str, Any]:
    content: dict[str, Any] = {"x": torch.zeros(1)}
    for _ in range(200):
        content = {"in": content}
    return content


def everyone_knows_everyone() -> dict[str, Any]:
    people: list[dict[str, Any]] = [{} for _ in range(300)]
    for each in people:
        each |= {f"p{number}": other for number, other in enumerate(people)}
    people[-1]["x"] = torch.zeros(1)
    return people[0]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: references(10, 10), "does not fit"),
        (circle, "does not fit"),
        (chain, "nests more than 12 deep"),
        (everyone_knows_everyone, "does not fit"),
    ],
    ids=["references of references", "a circle", "a chain", "everyone knows everyone"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_references_are_followed_once(
    make: Callable[[], Any], expected: str, zipped: bool, tmp_path: Path
) -> None:
    torch.save(make(), path := tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(path, DigitsCNN, parse_spec("digits-cnn"), torch.device("cpu"))
    assert time.monotonic() - began < 5


def test_a_search_looks_at_each_container_once() -> None:
    shared: dict[str, Any] = {
        "w": TensorNote(StorageNote("0", torch.float32, 1), torch.float32, 0, (1,), (1,))
    }
    assert len(state_dicts_in({f"k{number}": shared for number in range(100)}).state_dicts) == 1


def note(*size: int) -> TensorNote:
    return TensorNote(StorageNote("0", torch.float32, 1), torch.float32, 0, size, size)


SHARED = {"w": note()}


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ({"w": note()}, [""]),
        ({"zoo": SHARED, "model": SHARED, "state_dict": SHARED}, ["state_dict"]),
        ({each: {"w": note()} for each in ("zoo", "model", "net")}, ["model", "net", "zoo"]),
        ({"w": note(), "ema": {"w": note()}}, ["ema", ""]),
        ([1, {"w": note()}, ({"v": note()},)], ["1", "2.0"]),
        ({"a": {1: {"w": note()}}}, ["a.1"]),
        ({1: note(), "x": 3}, []),
        (note(), []),
        ("state_dict", []),
        (None, []),
        ({}, []),
    ],
)
def test_what_is_found_comes_by_its_keys_the_likely_ones_and_the_inner_ones_first(
    content: Any, labels: list[str]
) -> None:
    assert [label for label, _ in state_dicts_in(content).state_dicts] == labels


def test_of_a_dictionary_the_tensors_under_texts_are_kept() -> None:
    search = state_dicts_in({"w": note(1), 5: note(2), "lr": 0.1, "list": [note(3)]})
    assert search.state_dicts == [("", {"w": note(1)})]
    assert search.tensors == 3


@pytest.mark.parametrize(("depth", "found"), [(11, 1), (12, 1), (13, 0)])
def test_what_lies_deeper_than_twelve_is_told_and_not_looked_at(depth: int, found: int) -> None:
    content: Any = {"w": note()}
    for _ in range(depth):
        content = {"in": content}
    search = state_dicts_in(content)
    assert (len(search.state_dicts), search.deeper) == (found, not found)


def test_of_a_long_list_the_first_thousand_are_looked_at() -> None:
    items: list[Any] = [{"w": note()} for _ in range(1002)]
    assert [label for label, _ in state_dicts_in(items).state_dicts][-1] == "999"
