"""A recipe that cannot be followed is refused in the words of the command line."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from advbench.errors import SpecError
from advbench.training.recipe import Perturbation, Recipe, check_shares


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"batch_size": 1}, "--batch-size must be at least 2, got 1"),
        ({"lr": 0.0}, "--lr must be positive, got 0"),
        ({"momentum": 1.0}, r"--momentum must lie in \[0, 1\), got 1"),
        ({"weight_decay": -1.0}, "--weight-decay must be 0 or more, got -1"),
        ({"schedule": "cosin"}, "no schedule 'cosin'. Did you mean 'cosine'"),
        ({"augment": "flip"}, "no augment 'flip'"),
        ({"precision": "fp16"}, "no precision 'fp16'"),
    ],
)
def test_a_recipe_says_what_is_wrong_with_it(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Recipe(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epsilon": -0.1}, "--epsilon must be 0 or more, got -0.1"),
        ({"groups": -1}, "--groups must be 0 or more, got -1"),
        ({"ratio": 0.0}, r"--ratio must lie in \(0, 1\], got 0"),
        ({"ratio": 1.5}, r"--ratio must lie in \(0, 1\], got 1.5"),
    ],
)
def test_a_perturbation_says_what_is_wrong_with_it(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Perturbation(**settings)


@pytest.mark.parametrize(
    ("recipe", "processes", "said"),
    [
        (Recipe(batch_size=60, drop_last=True), 1, "--batch-size 60 is more than the 50 training images"),
        (Recipe(batch_size=15), 2, "2 processes cannot share --batch-size = 15 equally"),
        (Recipe(batch_size=16, apart=Perturbation(ratio=0.3, groups=0)), 2, "--ratio = 5 equally"),
        (Recipe(batch_size=24, apart=Perturbation()), 1, "--groups 16 does not divide the 24 images"),
        (Recipe(batch_size=32, apart=Perturbation(groups=32)), 2, "the 16 images of the second pass in each"),
    ],
)
def test_batches_that_cannot_be_shared_are_refused(recipe: Recipe, processes: int, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        check_shares(recipe, processes, 50)


def test_equal_shares_are_accepted() -> None:
    accepted: Sequence[tuple[Recipe, int]] = [
        (Recipe(batch_size=16), 1),
        (Recipe(batch_size=32, apart=Perturbation(groups=8)), 4),
        (Recipe(batch_size=15, apart=Perturbation(groups=0, ratio=0.1)), 1),
    ]
    for recipe, processes in accepted:
        check_shares(recipe, processes, 50)


@pytest.mark.parametrize(
    ("ratio", "batch", "count"),
    [
        (1.0, 128, 128),
        (0.5, 128, 64),
        (0.3, 16, 5),
        (0.01, 16, 1),
        (0.01, 1, 1),
        (0.999, 10, 10),
        (1.0, 0, 1),
    ],
)
def test_the_second_pass_takes_its_share_of_a_batch_and_one_image_at_least(
    ratio: float, batch: int, count: int
) -> None:
    assert Perturbation(ratio=ratio).images(batch) == count


@pytest.mark.parametrize(
    "settings", [{"lr": math.nan}, {"lr": math.inf}, {"momentum": math.nan}, {"weight_decay": math.inf}]
)
def test_numbers_that_are_none_are_no_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"--{next(iter(settings)).replace('_', '-')} must"):
        Recipe(**settings)
    with pytest.raises(SpecError, match="must"):
        Perturbation(epsilon=math.nan)


def test_the_defaults_are_those_of_aparts_authors_for_cifar() -> None:
    recipe = Recipe()
    assert (recipe.batch_size, recipe.lr, recipe.momentum, recipe.weight_decay) == (128, 0.1, 0.9, 5e-4)
    assert Perturbation() == Perturbation(epsilon=0.1, groups=16, ratio=1.0)
