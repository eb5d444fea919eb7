"""The worst of two attacks for each image: who fooled, else who came higher, at the cost of both."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from advbench.evaluation.worst_case import Outcome, still_standing, worst_of
from advbench.results.records import LOSS_COLUMNS, SAMPLE_TYPES

NAN = float("nan")


def outcome(first: int, *records: dict[str, Any]) -> Outcome:
    """Records of images whose example's only pixel tells which attack it came from."""
    plain: dict[str, Any] = {
        "label": 0,
        "rung": "shattered",
        "defense": "none",
        "attack": "a",
        "clean_prediction": 0,
        "prediction": 0,
        "robust": True,
        "distance": 0.1,
        "loss": 1.0,
        "steps": 5,
        "queries": 7,
        "flat_gradient": False,
        "smallest": NAN,
        "fooled_share": 0.0,
        "late_gain": NAN,
        **dict.fromkeys(LOSS_COLUMNS, NAN),
    }
    frame = pd.DataFrame([{"index": 10 + at, **plain, **each} for at, each in enumerate(records)])
    x_adv = torch.arange(float(first), first + len(records)).view(-1, 1, 1, 1)
    return Outcome(frame.astype(dict(SAMPLE_TYPES)), x_adv)


def fallen(distance: float = 0.05, **others: Any) -> dict[str, Any]:
    return {"robust": False, "prediction": 1, "distance": distance, "smallest": distance, **others}


def test_images_stand_that_an_attack_with_gradients_has_left() -> None:
    found = outcome(0, {}, fallen(), {"steps": 0}, {"steps": 1})
    assert still_standing(found).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("one", "other", "taken", "smallest"),
    [
        ({}, fallen(loss=0.5), True, 0.05),
        ({}, {"loss": 1.5}, True, NAN),
        ({}, {"loss": 1.0}, False, NAN),
        ({}, {"loss": 0.5}, False, NAN),
        ({}, {"loss": NAN}, False, NAN),
        ({"smallest": 0.4}, {"loss": 2.0}, True, 0.4),
        ({"smallest": 0.4}, {"smallest": 0.3}, False, 0.3),
        ({"smallest": 0.01}, fallen(0.05), True, 0.05),
    ],
)
def test_the_example_that_fools_is_taken_else_that_of_the_higher_loss(
    one: dict[str, Any], other: dict[str, Any], taken: bool, smallest: float
) -> None:
    found = worst_of(outcome(0, one), outcome(50, other), np.array([0]))
    record = found.samples.iloc[0]
    assert found.x_adv.item() == (50.0 if taken else 0.0)
    assert record["robust"] == ("robust" not in other)
    assert record["smallest"] == pytest.approx(smallest, nan_ok=True)
    assert (record["steps"], record["queries"]) == (10, 14), "both were paid for"


@pytest.mark.parametrize(("one", "other"), [(True, True), (True, False), (False, True)])
def test_a_gradient_was_flat_only_where_it_was_so_for_both(one: bool, other: bool) -> None:
    found = worst_of(outcome(0, {"flat_gradient": one}), outcome(1, {"flat_gradient": other}), np.array([0]))
    assert found.samples["flat_gradient"].tolist() == [one and other]


def test_other_images_keep_their_records_places_and_types() -> None:
    first = outcome(0, fallen(), {}, {"steps": 0}, {}, fallen())
    before = first.x_adv.clone()
    again = outcome(50, fallen(index=13), {"loss": 0.1, "index": 11})
    found = worst_of(first, again, np.array([3, 1]))
    assert found.samples["index"].tolist() == [10, 11, 12, 13, 14]
    assert found.x_adv.flatten().tolist() == [0.0, 1.0, 2.0, 50.0, 4.0]
    assert found.samples["steps"].tolist() == [5, 10, 0, 10, 5]
    assert found.samples["robust"].tolist() == [False, True, True, False, False]
    assert {name: str(kind) for name, kind in found.samples.dtypes.items()} == {
        name: str(kind) for name, kind in first.samples.dtypes.items()
    }
    assert torch.equal(first.x_adv, before), "the first outcome is left alone"


def test_with_no_image_to_try_again_all_stays() -> None:
    first = outcome(0, {}, fallen())
    found = worst_of(first, Outcome(first.samples.iloc[:0], first.x_adv[:0]), np.array([], dtype=np.int64))
    pd.testing.assert_frame_equal(found.samples, first.samples)
