"""Layout, batch and logits are told by what a session says of its file."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from advbench.errors import ModelError
from advbench.models.onnx_interface import interface_of


def value(name: str, shape: list[Any], kind: str = "tensor(float)") -> SimpleNamespace:
    return SimpleNamespace(name=name, type=kind, shape=shape)


LOGITS = [value("logits", ["n", 10])]


@pytest.mark.parametrize(
    ("shape", "layout", "sides", "given"),
    [
        (["n", 3, 8, 6], "nchw", (3, 8, 6), (2, 3, 8, 6)),
        (["n", 8, 6, 3], "nhwc", (3, 8, 6), (2, 8, 6, 3)),
        (["n", 3, "h", "w"], "nchw", (3, None, None), (2, 3, 8, 6)),
        (["n", 144], "flat", (144,), (2, 144)),
    ],
)
def test_the_layout_is_told_by_the_shape(
    shape: list[Any], layout: str, sides: tuple[int | None, ...], given: tuple[int, ...]
) -> None:
    interface = interface_of([value("x", shape)], LOGITS, None)
    assert (interface.layout, interface.sides, interface.batch) == (layout, sides, None)
    assert interface.given(torch.rand(2, 3, 8, 6)).shape == given


def test_uint8_is_given_levels() -> None:
    interface = interface_of([value("x", [1, 1, 1, 2], "tensor(uint8)")], LOGITS, None)
    levels = interface.as_levels(interface.given(torch.tensor([[[[0.5, 1.0]]]])))
    assert levels.dtype == torch.uint8
    assert levels.flatten().tolist() == [128, 255]
    assert any("uint8" in note for note in interface.notes)


def test_a_fixed_batch_is_filled_up() -> None:
    interface = interface_of([value("x", [4, 1, 2, 2])], LOGITS, None)
    sizes: list[int] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x.flatten(1) * 2

    x = torch.rand(6, 1, 2, 2)
    assert torch.equal(interface.in_its_batches(forward, x), x.flatten(1) * 2)
    assert sizes == [4, 4]


def test_a_fixed_batch_of_too_many_images_is_refused_before_it_is_filled_up() -> None:
    assert interface_of([value("x", [4096, 1, 2, 2])], LOGITS, None).batch == 4096
    with pytest.raises(
        ModelError, match=r"takes 1,048,576 images at a time .* export it with a dynamic batch"
    ):
        interface_of([value("x", [1 << 20, 1, 2, 2])], LOGITS, None)


def test_other_sides_are_told() -> None:
    interface = interface_of([value("x", ["n", 3, 224, "w"])], LOGITS, None)
    with pytest.raises(ModelError, match=r"3 x 224 x any \(c x h x w\), got 1 x 8 x 8. Give --image-size"):
        interface.given(torch.rand(1, 1, 8, 8))


X = [value("x", ["n", 1, 8, 8])]


@pytest.mark.parametrize(
    ("inputs", "outputs", "wanted", "message"),
    [
        ([*X, *X], LOGITS, None, "has 2 inputs"),
        ([value("x", ["n", 4], "tensor(string)")], LOGITS, None, r"is tensor\(string\)"),
        ([value("x", ["n", 4, 4])], LOGITS, None, "pictures are"),
        (X, LOGITS, "scores", "has no output 'scores'. It has: 'logits'"),
        (X, [value("a", ["n", 10]), value("b", ["n", 10])], None, "may be logits: 'a', 'b'. Name one"),
        (X, [value("p", [], "seq(map(int64,tensor(float)))")], None, "zipmap"),
        (X, [value("map", ["n", 10, 2, 2])], None, "no output of logits"),
    ],
)
def test_what_is_no_classifier_is_refused(
    inputs: list[Any], outputs: list[Any], wanted: str | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        interface_of(inputs, outputs, wanted)


def test_the_logits_are_chosen_and_told() -> None:
    outputs = [value("label", ["n"], "tensor(int64)"), value("scores", ["n", 10])]
    interface = interface_of(X, outputs, None)
    assert interface.output_name == "scores"
    assert interface.notes == ("the ONNX file gives 'label', 'scores'; 'scores' is taken for the logits",)
    assert interface_of(X, [value("a", ["n", 9]), *LOGITS], None).output_name == "logits"
