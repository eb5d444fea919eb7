"""What a black box takes and gives, as arrays."""

import numpy as np
import pytest
import torch

from advbench.defended.black_box_form import (
    Form,
    Takes,
    UnreadableError,
    answer_of,
    array_of,
    check_classes,
    logits_of,
    parse_form,
)
from advbench.errors import ModelError, SpecError


def test_arrays_have_the_layout_and_the_range_that_were_asked_for() -> None:
    x = torch.tensor([0.0, 0.5, 1.0, 0.2, 0.4, 0.6]).view(1, 3, 1, 2)
    array = Takes("nhwc", "uint8").array(x)
    assert array.dtype == np.uint8
    assert array.shape == (1, 1, 2, 3)
    assert array[0, 0, 0].tolist() == [0, 255, 102]
    image = Takes("chw", "float").array(x)
    assert image.dtype == np.float32
    assert np.array_equal(image, x[0].numpy())


def test_every_level_of_8_bits_comes_back_as_it_was() -> None:
    levels = torch.arange(256).float() / 255
    array = Takes("nchw", "uint8").array(levels.view(1, 1, 16, 16))
    assert array.ravel().tolist() == list(range(256))


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (np.array([[0.2, 0.8], [0.5, 0.5]]), "probabilities"),
        (np.log(np.array([[0.2, 0.8], [0.5, 0.5]])), "log-probabilities"),
        ([[1.0, -2.0], [0.0, 3.0]], "scores"),
        ([[1, 0], [0, 1]], "scores"),
        ([1, 0], "labels"),
        ([1.0, 3.0], "labels"),
        (["one", "nought"], "labels"),
        ([0.25, 0.75], "probability"),
        ([[-0.5], [2.25]], "logit"),
        ({"logits": torch.tensor([[1.5, -1.0], [0.0, 2.0]]), "time": 3}, "scores"),
        (((np.array([[1.5, -1.0], [0.0, 2.0]])), "beside"), "scores"),
    ],
)
def test_the_kind_of_an_answer_is_told_by_its_numbers(output: object, kind: str) -> None:
    assert answer_of(array_of(output, 2, ["nought", "one"])) == kind


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (np.zeros((3, 2)), "shape"),
        ([[0.0, float("nan")], [0.0, 1.0]], "NaN or infinity for 1 of 2"),
        (["nobody", "one"], "nobody"),
        ({"a": [1, 2], "b": [1, 2]}, "dictionary"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        (None, "NoneType"),
    ],
)
def test_an_answer_that_cannot_be_read_is_named(output: object, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        array_of(output, 2, ["nought", "one"])


def test_logits_have_their_maximum_at_the_answer() -> None:
    probabilities = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert logits_of(probabilities, "probabilities", 2).argmax(1).tolist() == [1, 0]
    assert np.allclose(np.exp(logits_of(probabilities, "probabilities", 2))[0], [0.2, 0.8])
    assert logits_of(np.array([0.25, 0.75]), "probability", 2).argmax(1).tolist() == [0, 1]
    assert logits_of(np.array([-1.0, 2.0]), "logit", 2).tolist() == [[0.0, -1.0], [0.0, 2.0]]
    assert logits_of(np.array([2, 0]), "labels", 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_another_answer_than_at_first_is_refused() -> None:
    for array, gives in ((np.zeros(2), "scores"), (np.zeros((2, 3)), "labels"), (np.array([9, 1]), "labels")):
        with pytest.raises(UnreadableError):
            logits_of(array, gives, 3)  # type: ignore[arg-type]  # one of them


def test_a_form_reads_as_it_is_written() -> None:
    assert parse_form("labels, nhwc") == ("nhwc", None, "labels")
    assert str(Form(Takes("hwc", "uint8"), "labels")) == "hwc,uint8,labels"
    with pytest.raises(SpecError, match=r"no 'nhcw'\. Did you mean 'nhwc'"):
        parse_form("nhcw")
    with pytest.raises(SpecError, match="nhwc or nchw, got both"):
        parse_form("nhwc,nchw")


def test_one_number_is_not_enough_for_three_classes() -> None:
    check_classes(Form(Takes("nhwc", "float"), "logit"), 2)
    with pytest.raises(ModelError, match="one number an image"):
        check_classes(Form(Takes("nhwc", "float"), "logit"), 3)
