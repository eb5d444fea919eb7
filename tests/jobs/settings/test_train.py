"""What a training is told: its recipe, APART's settings where APART is asked for, and what is measured."""

from pathlib import Path
from typing import Any

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.train import TrainSettings
from advbench.training.recipe import Perturbation, Recipe


@pytest.mark.parametrize(
    ("settings", "plain", "perturbation"),
    [
        ({}, True, None),
        ({"apart": True}, False, Perturbation()),
        ({"compare": True}, True, Perturbation()),
        ({"apart": True, "compare": True}, True, Perturbation()),
        ({"apart": True, "epsilon": 0.0, "ratio": 0.5}, False, Perturbation(epsilon=0.0, ratio=0.5)),
        ({"compare": True, "groups": 4}, True, Perturbation(groups=4)),
    ],
)
def test_which_trainings_there_are_follows_from_what_is_asked_for(
    settings: dict[str, Any], plain: bool, perturbation: Perturbation | None
) -> None:
    found = TrainSettings(**settings)
    assert (found.plain, found.perturbation) == (plain, perturbation)


@pytest.mark.parametrize(
    ("settings", "drop_last"),
    [({}, False), ({"apart": True}, True), ({"compare": True}, True), ({"apart": True, "groups": 1}, False)],
)
def test_a_batch_that_groups_may_not_divide_is_left_out_of_both_trainings(
    settings: dict[str, Any], drop_last: bool
) -> None:
    assert TrainSettings(**settings).recipe.drop_last is drop_last


def test_a_recipe_has_every_number_that_was_told() -> None:
    told: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 16,
        "lr": 0.2,
        "schedule": "cosine",
        "momentum": 0.5,
        "weight_decay": 0.0,
        "precision": "bfloat16",
        "seed": 7,
        "sync_bn": True,
    }
    assert TrainSettings(**told).recipe == Recipe(**told)
    assert TrainSettings().recipe == Recipe()


def test_untrained_weights_are_asked_for_by_scratch() -> None:
    assert TrainSettings(scratch=True).subject.untrained
    found = TrainSettings(checkpoint=Path("a.pt"))
    assert (found.subject.untrained, found.subject.checkpoint) == (False, Path("a.pt"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scratch": True, "checkpoint": Path("a.pt")}, "give --checkpoint or --scratch, not both"),
        ({"epsilon": 0.2}, "--epsilon is a setting of APART; add --apart or --compare"),
        ({"groups": 0}, "--groups is a setting of APART"),
        ({"ratio": 0.5}, "--ratio is a setting of APART"),
        ({"apart": True, "ratio": 0.0}, "--ratio must lie in"),
        ({"compare": True, "epsilon": -1.0}, "--epsilon must be 0 or more"),
        ({"batch_size": 1}, "--batch-size must be at least 2"),
        ({"lr": float("nan")}, "--lr must be positive, got nan"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_runs(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        TrainSettings(**settings)
