"""Seeds for libraries that draw from global generators: a function of the batch, and without a trace."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advbench import Draws
from advbench.draws.batch_seed import batch_seed, global_draws


def sampled() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002  # the global ones


def draws(seed: int = 0, indices: tuple[int, ...] = (3, 5), name: str = "bpda") -> Draws:
    return Draws(seed, torch.tensor(indices), name)


def test_the_same_batch_gets_the_same_numbers_from_every_generator() -> None:
    found = []
    for _ in range(2):
        with global_draws(draws()) as seed:
            found.append((seed, *sampled()))
    assert found[0] == found[1]


@pytest.mark.parametrize("other", [draws(seed=1), draws(indices=(3, 6)), draws(name="shattered")])
def test_another_seed_batch_or_stream_gets_others(other: Draws) -> None:
    with global_draws(draws()):
        mine = sampled()
    with global_draws(other):
        theirs = sampled()
    assert all(one != another for one, another in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_the_generators_go_on_as_if_nothing_had_been(fails: bool) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = sampled()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    try:
        with global_draws(draws()):
            sampled()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert sampled() == expected


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=5), st.integers(0, 2**31))
def test_the_seed_fits_every_generator(indices: list[int], seed: int) -> None:
    assert 0 <= batch_seed(Draws(seed, torch.tensor(indices))) < 2**32
