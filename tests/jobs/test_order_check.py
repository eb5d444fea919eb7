"""A run ends where another order of the classes explains the model's answers, and says how to go on."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench.data.images import LabelledImages
from advbench.jobs.order_check import (
    ClassOrderError,
    check_order,
    check_order_before_training,
    check_order_of_run,
    described,
    predicted,
    reject_class_suspected,
)
from advbench.results.class_order import Order

CPU = torch.device("cpu")
NAMES = ("ant", "bee", "cat", "dog")


class Reads(nn.Module):
    """Reads the class off the image's only pixel, and answers with the output of that class."""

    def __init__(self, outputs: Sequence[int]) -> None:
        super().__init__()
        self.outputs = outputs
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        classes = (x.flatten() * 10).round().long()
        return nn.functional.one_hot(torch.tensor(self.outputs)[classes], max(self.outputs) + 1).float()


def data(labels: Sequence[int], names: Sequence[str] = NAMES, *, user: bool = False) -> LabelledImages:
    """Images whose pixel is a tenth of their label; `user` says that a file has given the labels."""
    y = torch.tensor(labels)
    outputs = tuple(range(len(names))) if user else None
    return LabelledImages(TensorDataset((y / 10).view(-1, 1, 1, 1), y), y.numpy(), names, outputs)


LABELS = [0, 1, 2, 3] * 30
SWAPPED = [3, 2, 1, 0] * 30


def test_answers_that_are_right_or_random_are_no_reason_to_end() -> None:
    images = data(LABELS)
    assert check_order(LABELS, LABELS, images) == ""
    draws = torch.randint(4, (120,), generator=torch.Generator().manual_seed(0)).tolist()
    assert check_order(LABELS, draws, images) == ""


def test_another_order_is_refused_with_what_to_give() -> None:
    with pytest.raises(ClassOrderError) as refused:
        check_order(LABELS, SWAPPED, data(LABELS))
    assert str(refused.value) == (
        "the classes of the data set are in another order than the model's outputs: 0.0% of 120 clean images "
        "are right as the labels are, 100.0% in the reverse order. If that is right, give --classes FILE: "
        "one name a line: dog, cat, bee, ant."
    )


def test_an_order_that_the_user_gave_is_doubted_where_a_part_bears_it_out_and_refused_at_chance() -> None:
    images = data(LABELS, user=True)
    with pytest.raises(
        ClassOrderError, match="Correct the file of --classes or --class-index; label -> output:"
    ):
        check_order(LABELS, SWAPPED, images)
    half = [label if label < 2 else 5 - label for label in LABELS]
    note = check_order(LABELS, half, images)
    assert note.startswith("the classes of the data set are in another order than the model's outputs: 50.0%")
    assert note.endswith("label -> output: 0 -> 0, 1 -> 1, 3 -> 2, 2 -> 3")
    with pytest.raises(ClassOrderError, match=r"0 -> 0|ant, bee, dog, cat"):
        check_order(LABELS, half, data(LABELS))


@pytest.mark.parametrize(
    ("names", "head", "refused"),
    [(NAMES, 1000, True), (NAMES, None, True), (NAMES, 4, True), ((), 1000, False)],
)
def test_more_outputs_than_classes_at_chance_are_asked_about(
    names: Sequence[str], head: int | None, refused: bool
) -> None:
    guesses = torch.randint(5, (120,), generator=torch.Generator().manual_seed(1)).tolist()
    if not refused:
        assert check_order(LABELS, guesses, data(LABELS, names), head) == ""
        return
    with pytest.raises(ClassOrderError) as error:
        check_order(LABELS, guesses, data(LABELS, names), head)
    assert f"the model has {max(head or 0, 5)} outputs or more and the data set 4 classes" in str(error.value)
    assert str(error.value).endswith("Say which output each class is: --classes FILE.")


def test_a_run_of_few_wrong_images_looks_at_more_of_the_data_set() -> None:
    images = data(LABELS)
    swapped = Reads([3, 2, 1, 0])
    with pytest.raises(ClassOrderError, match="of 120 clean images"):
        check_order_of_run(swapped, [0, 1], [3, 2], images, head=None, device=CPU, seed=0)
    right = Reads([0, 1, 2, 3])
    assert check_order_of_run(right, [0, 1], [0, 1], images, head=None, device=CPU, seed=0) == ""
    assert right.seen == 0, "images that are right need no others"
    assert check_order_of_run(right, [0, 1], [3, 2], images, head=None, device=CPU, seed=0) == ""
    assert right.seen == 120


def test_before_a_training_a_sample_is_looked_at_whatever_the_number_of_outputs() -> None:
    assert check_order_before_training(Reads([0, 1, 2, 3]), data(LABELS), CPU, 0) == ""
    with pytest.raises(ClassOrderError, match=r"100\.0% in the reverse order"):
        check_order_before_training(Reads([3, 2, 1, 0]), data(LABELS), CPU, 0)
    assert check_order_before_training(Reads([9, 9, 9, 9]), data(LABELS), CPU, 0) == ""


def test_predictions_leave_the_model_and_the_generators_as_they_were() -> None:
    model = nn.Sequential(nn.Dropout(0.9), Reads([0, 1, 2, 3])).train()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert predicted(model, data(LABELS), [5, 2], CPU) == ([1, 2], [1, 2])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())


ORDER = Order(outputs=(2, 5, 7), name="", right=9, as_is=1, n=10)


@pytest.mark.parametrize(
    ("order", "names", "said"),
    [
        (ORDER, NAMES[:3], "90.0% in the order that follows. If that is right, give --classes FILE: lines "),
        (ORDER, NAMES[:3], "lines 'index name': 2 ant, 5 bee, 7 cat."),
        (ORDER, (), "Correct the labels; label -> output: 0 -> 2, 1 -> 5, 2 -> 7."),
        (ORDER._replace(outputs=(1, -1, 0)), NAMES[:3], "one name a line: cat, ant."),
        (ORDER, ("n01440764", "n02102040", "n02979186"), "give --class-index imagenet_class_index.json, or"),
        (ORDER._replace(outputs=tuple(range(29, -1, -1))), (), "11 -> 18, 10 -> 19, ..."),
        (ORDER, ("a\x1b[1m", "b", "c"), r"2 a\x1b[1m, 5 b"),
    ],
)
def test_an_order_is_described_so_that_it_can_be_given(order: Order, names: Sequence[str], said: str) -> None:
    text = described(order, data([0, 1, 2], names))
    assert text.startswith(
        "the classes of the data set are in another order than the model's outputs: 10.0% of 10"
    )
    assert said in text


def order_without(reject: int, refusing: int, count: int = 4) -> Order:
    """What clean images show of `count` classes and one output that refuses, where another is taken away."""
    own = [label + (label >= refusing) for label in range(count)]
    left = tuple(-1 if output == reject else output - (output > reject) for output in own)
    return Order(left, "", 95, 30, 100)


@pytest.mark.parametrize(("reject", "refusing"), [(1, 4), (4, 0), (0, 2), (3, 1)])
def test_a_wrong_class_that_refuses_is_told_with_the_right_one(reject: int, refusing: int) -> None:
    with (
        pytest.raises(ClassOrderError) as refused,
        reject_class_suspected(str(reject)),
    ):
        raise ClassOrderError("another order", order_without(reject, refusing))
    assert str(refused.value) == (
        f"--reject-class {reject} takes the wrong output away: 30.0% of 100 clean images are right so, and "
        f"95.0% if output {refusing} refuses. If that is right, give --reject-class {refusing}."
    )


@pytest.mark.parametrize(
    ("word", "order"),
    [
        (None, order_without(1, 4)),
        ("nan", order_without(1, 4)),
        ("1", None),
        ("1", Order((3, 2, 1, 0), "", 95, 30, 100)),
    ],
)
def test_any_other_order_is_told_as_it_is(word: str | None, order: Order | None) -> None:
    with pytest.raises(ClassOrderError, match=r"^another order$"), reject_class_suspected(word):
        raise ClassOrderError("another order", order)
