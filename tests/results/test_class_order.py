"""Another order of the classes is found where it explains a model's answers, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.results.class_order import best_assignment, other_order

LETTERS = [f"class {letter}" for letter in "abcdefghij"]
NUMBERS = sorted(str(number) for number in range(1, 11))  # 1, 10, 2, 3: as folders sort


def answers(
    order: list[int], accuracy: float, each: int, seed: int = 0, outputs: int = 0
) -> tuple[list[int], list[int]]:
    """Labels, and the guesses of a model whose output of label `i` is `order[i]`, right as often as asked."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(order)), each)
    right = generator.random(len(labels)) < accuracy
    wrong = generator.integers(0, max(outputs, len(order)), len(labels))
    return labels.tolist(), np.where(right, np.asarray(order)[labels], wrong).tolist()


@given(
    order=st.permutations(range(8)),
    accuracy=st.floats(0.6, 1.0),
    seed=st.integers(0, 1000),
)
def test_a_permutation_is_found_whatever_it_is(order: list[int], accuracy: float, seed: int) -> None:
    labels, guesses = answers(order, accuracy, 40, seed)
    found = other_order(labels, guesses, ())
    if order == list(range(8)):
        assert found is None
    else:
        assert found is not None
        assert list(found.outputs) == order
        assert found.as_is == sum(one == other for one, other in zip(labels, guesses, strict=True))


@given(accuracy=st.floats(0.0, 1.0), each=st.integers(1, 40), seed=st.integers(0, 1000))
def test_labels_that_are_right_are_left_alone(accuracy: float, each: int, seed: int) -> None:
    assert other_order(*answers(list(range(10)), accuracy, each, seed), LETTERS) is None


@given(
    shares=st.lists(st.floats(0.0, 1.0), min_size=10, max_size=10).filter(lambda each: sum(each) > 0.1),
    n=st.integers(10, 400),
    seed=st.integers(0, 1000),
)
def test_guesses_that_have_nothing_to_do_with_the_image_show_no_order(
    shares: list[float], n: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    guesses = generator.choice(10, n, p=np.asarray(shares) / sum(shares))
    assert other_order(generator.integers(0, 10, n).tolist(), guesses.tolist(), LETTERS) is None


def test_a_model_that_collapses_to_three_outputs_shows_no_order() -> None:
    labels = np.repeat(np.arange(10), 100)
    guesses = np.asarray([3, 3, 7, 7, 7, 1, 1, 1, 3, 3])[labels]
    assert other_order(labels.tolist(), guesses.tolist(), LETTERS) is None


BY_NUMBER = [int(name) - 1 for name in NUMBERS]


@pytest.mark.parametrize(
    ("order", "names", "outputs", "told"),
    [
        (BY_NUMBER, NUMBERS, 0, "where they follow the numbers in their names"),
        ([0, 9, *range(1, 9)], [f"{name} x" for name in NUMBERS], 0, "where they follow the numbers"),
        ([0, 3, 1, 2], ["Ant", "Dog", "bee", "cat"], 0, "where capitals do not count"),
        ([2, 5, 7], ["2", "5", "7"], 10, "where the numbers in their names are the outputs"),
        ([1, 4, 6], ["2", "5", "7"], 10, "where the numbers in their names are the outputs, less one"),
        (list(range(9, -1, -1)), LETTERS, 0, "in the reverse order"),
        (list(range(1, 11)), LETTERS, 11, "where they are shifted by one: label 0 is output 1"),
        (list(range(-1, 9)), LETTERS, 0, "where they are shifted by one: label 1 is output 0"),
        ([*range(3, 10), 0, 1, 2], LETTERS, 0, "where they are shifted by 3, the last ones to the front"),
        ([0, 1, 2, 3, 5, 6, 7, 8, 9], LETTERS[:9], 10, "where one is missing: no label is output 4"),
    ],
)
def test_orders_that_people_meet_with_are_called_by_name(
    order: list[int], names: list[str], outputs: int, told: str
) -> None:
    labels, guesses = answers(order, 0.8, 30, outputs=outputs)
    found = other_order(labels, guesses, names)
    assert found is not None
    assert list(found.outputs) == order
    assert found.name.startswith(told)


def test_two_classes_that_are_swapped_are_found() -> None:
    order = [0, 1, 2, 5, 4, 3, 6, 7, 8, 9]
    found = other_order(*answers(order, 0.8, 50), LETTERS)
    assert found is not None
    assert (list(found.outputs), found.name) == (order, "")


def test_ten_classes_of_a_thousand_outputs_are_found() -> None:
    order = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]  # Imagenette's
    found = other_order(*answers(order, 0.7, 20, outputs=1000), LETTERS)
    assert found is not None
    assert list(found.outputs) == order


def test_a_thousand_classes_with_an_image_each_tell_a_shift_but_no_free_order() -> None:
    shifted = [*range(1, 1000), 0]
    found = other_order(*answers(shifted, 0.7, 1), ())
    assert found is not None
    assert list(found.outputs) == shifted
    free = np.random.default_rng(0).permutation(1000).tolist()
    assert other_order(*answers(free, 0.7, 1), ()) is None


def test_few_images_tell_nothing() -> None:
    assert other_order([0, 1, 2, 3], [1, 2, 3, 0], ()) is None
    assert other_order([0], [5], ()) is None


@given(order=st.permutations(range(6)), seed=st.integers(0, 100))
def test_the_assignment_is_a_permutation_that_is_no_worse_than_the_labels(
    order: list[int], seed: int
) -> None:
    labels, guesses = (np.asarray(each) for each in answers(order, 0.3, 10, seed))
    assigned = best_assignment(labels, guesses, 6)
    assert sorted(assigned.tolist()) == list(range(6))
    assert (assigned[labels] == guesses).sum() >= (labels == guesses).sum()


def test_without_evidence_a_label_keeps_its_output() -> None:
    nothing = np.asarray([-1, -1, -1])
    assert best_assignment(np.asarray([0, 1, 2]), nothing, 3).tolist() == [0, 1, 2]
