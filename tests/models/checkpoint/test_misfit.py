"""Why weights do not fit: what differs is counted, the first few are named, and the likely reason follows."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from advbench.models.checkpoint.match import matches_of
from advbench.models.checkpoint.misfit import explain, few, other_head
from advbench.models.lenet5 import LeNet5
from advbench.names.grammar import Spec, parse_spec

OWN = {
    "conv.weight": torch.zeros(4, 1, 3, 3),
    "head.weight": torch.zeros(10, 4),
    "head.bias": torch.zeros(10),
}


def told(state: dict[str, Tensor], parts: tuple[str, ...] = (), name: str = "lenet5") -> str:
    found = [("", state)]
    matches = matches_of(OWN, found)
    message = explain(
        matches[0] if matches else None,
        parts,
        OWN,
        state_dicts=found,
        path=Path("a.pt"),
        spec=parse_spec(name),
    )
    assert "\n" not in message
    assert message.startswith(f"a.pt does not fit model '{name}': of 3 keys ")
    return message.partition("of 3 keys ")[2]


@pytest.mark.parametrize(
    ("items", "text"),
    [((), ""), (("a",), "a"), (("a", "b", "c"), "a, b, c"), (("a", "b", "c", "d"), "a, b, c, ...")],
)
def test_three_are_named_and_whether_there_are_more(items: tuple[str, ...], text: str) -> None:
    assert few(items) == text
    assert few(items, "; ") == text.replace(", ", "; ")


@pytest.mark.parametrize(
    ("shapes", "classes"),
    [
        ({"head.weight": (7, 4), "head.bias": (7,)}, 7),
        ({"head.weight": (1000, 4), "head.bias": (1000,)}, 1000),
        ({"head.weight": (7, 4)}, 7),
        ({}, None),  # it fits
        ({"head.weight": (7, 5), "head.bias": (7,)}, None),  # the features differ too
        ({"head.weight": (7, 4), "head.bias": (8,)}, None),
        ({"head.weight": (7, 4), "head.bias": (7,), "conv.weight": (7, 1, 3, 3)}, None),
        ({"head.bias": (7,)}, None),
        ({"head.bias": ()}, None),
    ],
)
def test_another_number_of_classes_is_one_layer_of_another_height(
    shapes: dict[str, tuple[int, ...]], classes: int | None
) -> None:
    state = {**OWN, **{key: torch.zeros(shape) for key, shape in shapes.items()}}
    assert other_head(matches_of(OWN, [("", state)])[0], OWN) == classes


def test_weights_that_lack_a_layer_have_no_other_head() -> None:
    state = {"head.weight": torch.zeros(7, 4), "head.bias": torch.zeros(7)}
    assert other_head(matches_of(OWN, [("", state)])[0], OWN) is None


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("lenet5:num_classes=10", "give --model lenet5:num_classes=7."),
        (
            "net.py:make:width=4",
            "--model net.py:make:width=4,num_classes=7 where its factory takes num_classes.",
        ),
    ],
)
def test_the_advice_for_another_number_of_classes_can_be_typed(name: str, advice: str) -> None:
    state = {**OWN, "head.weight": torch.zeros(7, 4), "head.bias": torch.zeros(7)}
    message = told(state, name=name)
    assert message.startswith(
        "2 of another shape (head.weight: file 7x4, model 10x4; head.bias: file 7, model 10). Most "
    )
    assert message.endswith(advice)


def test_what_differs_is_counted_and_a_scalar_is_called_so() -> None:
    state = {"conv.weight": OWN["conv.weight"], "head.bias": torch.tensor(1.0)}
    assert told(state, parts=("a", "b", "c", "d")) == (
        "1 missing (head.weight), 4 unexpected (a, b, c, ...), 1 of another shape "
        "(head.bias: file scalar, model 10). "
        "Most likely it belongs to another architecture or a variant of this one: 1 of 3 keys are the same."
    )


def test_where_no_key_is_the_same_both_sides_are_named() -> None:
    assert told({"x.y": torch.zeros(1)}) == (
        "3 missing (conv.weight, head.weight, head.bias), 1 unexpected (x.y). "
        "Most likely it belongs to another architecture: no key is the same, under any prefix."
    )


def test_a_built_in_architecture_is_named_by_its_keys_and_shapes() -> None:
    state = {f"module.{key}": each for key, each in LeNet5().state_dict().items()}
    reason = "Most likely it belongs to another architecture: its keys are those of 'lenet5'."
    assert told(state, name="net.py:make").endswith(reason)
    message = explain(None, (), {}, state_dicts=[("", state)], path=Path("a.pt"), spec=Spec("resnet20"))
    assert message.startswith(
        "a.pt does not fit model 'resnet20': of 0 keys 8 unexpected (module.conv1.weight,"
    )
