"""A classifier that guesses is told from one that knows something."""

import pandas as pd
import pytest

from advbench.results.chance import chance_told

N = 100


@pytest.mark.parametrize(
    ("right", "predictions", "told"),
    [
        (10, [0, 1], "10 of 100, no better than guessing among 10 classes"),
        (0, [0, 1], "0 of 100, no better"),
        (10, [4], "every clean image is taken for class 4; 10 of 100 are right"),
        (25, [0, 1], None),
        (100, [0, 1], None),
    ],
)
def test_chance_is_told_from_the_clean_images(right: int, predictions: list[int], told: str | None) -> None:
    clean = pd.DataFrame(
        {
            "label": [k % 10 for k in range(N)],
            "robust": [k < right for k in range(N)],
            "prediction": [predictions[k % len(predictions)] for k in range(N)],
        }
    )
    said = chance_told(clean)
    assert said is None if told is None else told in str(said)
    assert chance_told(clean.assign(label=3)) is None, "of one class nothing can be said"


def clean(labels: list[int], predictions: list[int]) -> pd.DataFrame:
    right = [label == prediction for label, prediction in zip(labels, predictions, strict=True)]
    return pd.DataFrame({"label": labels, "prediction": predictions, "robust": right})


def test_of_no_images_and_of_one_class_nothing_is_told() -> None:
    assert chance_told(clean([], [])) is None
    assert chance_told(clean([3] * 50, [7] * 50)) is None


def test_one_answer_for_few_images_may_be_chance_and_is_told_for_more_than_there_are_classes() -> None:
    assert (
        chance_told(clean([0, 1], [0, 0]))
        == "clean accuracy is 1 of 2, no better than guessing among 2 classes"
    )
    assert (
        chance_told(clean([0, 0, 0, 0, 1], [0] * 5))
        == "every clean image is taken for class 0; 4 of 5 are right"
    )


def test_logits_that_are_no_numbers_are_no_class() -> None:
    assert chance_told(clean([0, 1, 2] * 5, [-1] * 15)) == "the logits of all 15 clean images are NaN"
    assert chance_told(clean([0, 1], [-1, -1])) == "the logits of all 2 clean images are NaN"


@pytest.mark.parametrize(("right", "told"), [(0, True), (14, True), (15, False), (40, False)])
def test_accuracy_is_near_chance_below_one_and_a_half_times_it(right: int, told: bool) -> None:
    """Of 100 images in 10 classes; the 95 % interval of 14 begins at 0.085."""
    labels = [k % 10 for k in range(100)]
    predictions = [label if k < right else (label + 1) % 10 for k, label in enumerate(labels)]
    assert (chance_told(clean(labels, predictions)) is not None) is told


def test_many_images_tell_what_is_little_better_than_chance() -> None:
    """0.12 of 10,000 images: the interval lies above 0.1."""
    labels = [k % 10 for k in range(10_000)]
    predictions = [label if k < 1200 else (label + 1) % 10 for k, label in enumerate(labels)]
    assert chance_told(clean(labels, predictions)) is None
