"""The generators of the whole process: seeded for a while, and afterwards as if nothing had been."""

import random

import numpy as np
import pytest
import torch

from advbench.draws.generators import seeded

CPU = torch.device("cpu")


def numbers() -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(())), random.gauss(0.0, 1.0)  # noqa: NPY002  # the global ones


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_each_generator_starts_from_the_seed_itself(seed: int) -> None:
    with seeded(seed, CPU):
        found = numbers()
    mine = random.Random(seed)
    first = mine.random()
    old = np.random.RandomState(seed)
    fresh = torch.Generator().manual_seed(seed)
    expected = first, float(old.rand()), float(torch.rand((), generator=fresh)), mine.gauss(0.0, 1.0)
    assert found == expected


@pytest.mark.parametrize("fails", [False, True])
def test_states_come_back_also_from_inside_one_another(fails: bool) -> None:
    with seeded(5, CPU):
        expected = [numbers(), numbers()]
    found = []
    with seeded(5, CPU):
        found.append(numbers())
        try:
            with seeded(9, CPU):
                numbers()
                if fails:
                    raise KeyError
        except KeyError:
            pass
        found.append(numbers())
    assert found == expected
