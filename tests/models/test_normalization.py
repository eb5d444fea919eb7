"""A normalisation is chosen where one wins clearly, and the choice is pure arithmetic on answers."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advbench.evaluation.measure_normalization import SAMPLES
from advbench.models.normalization import (
    BYTES,
    HALF,
    Answers,
    NormalizationName,
    candidates,
    clearly_better,
    same_function,
    standing_of,
)
from advbench.models.registry import IMAGENET, PIXELS, Normalization

MNIST = Normalization((0.1307,), (0.3081,))


def told(right: Sequence[int], n: int, loss: float = 0.1) -> Answers:
    """Answers to `n` images with label 0 or 1 in turns, of which those listed are wrong."""
    labels = [each % 2 for each in range(n)]
    wrong = set(right)
    return Answers([1 - y if at in wrong else y for at, y in enumerate(labels)], [loss] * n)


def left(
    n: int, wrong: dict[NormalizationName, int], losses: dict[NormalizationName, float] | None = None
) -> tuple[str, ...]:
    """Which candidates are near where so many of `n` images are wrong under each, other ones each time."""
    answers: dict[NormalizationName, Answers] = {}
    start = 0
    for name, count in wrong.items():
        answers[name] = told([(start + at) % n for at in range(count)], n, (losses or {}).get(name, 0.1))
        start += count
    return standing_of(answers, [each % 2 for each in range(n)]).near


@pytest.mark.parametrize(
    ("n", "wrong", "near"),
    [
        (64, {"none": 1, "half": 30}, ("none",)),
        (64, {"none": 3, "half": 1}, ("half", "none")),
        (1024, {"none": 14, "dataset": 18}, ("none", "dataset")),
        (1024, {"none": 14, "dataset": 60}, ("none",)),
        (10_000, {"none": 140, "dataset": 180}, ("none", "dataset")),  # certain, but less than two points
        (10_000, {"none": 140, "dataset": 500}, ("none",)),
        (8, {"none": 0, "dataset": 3}, ("none", "dataset")),
    ],
)
def test_what_wins_by_two_points_for_certain_is_clear(
    n: int, wrong: dict[NormalizationName, int], near: tuple[str, ...]
) -> None:
    assert left(n, wrong) == near


@given(
    n=st.integers(8, 300),
    first=st.integers(0, 2**32),
    second=st.integers(0, 2**32),
)
def test_of_two_accuracies_at_most_one_is_clearly_better(n: int, first: int, second: int) -> None:
    one = np.random.default_rng(first).random(n) < 0.9
    other = np.random.default_rng(second).random(n) < 0.5
    assert not clearly_better(one, one)
    assert not (clearly_better(one, other) and clearly_better(other, one))


def test_many_looks_rule_hardly_any_candidate_out_by_chance() -> None:
    """Two points better and no more: all looks together are wrong in 5 of 1,000 samples."""
    generator = np.random.default_rng(0)
    ruled_out = 0
    for _ in range(500):
        turns = generator.random(SAMPLES[-1])
        one, other = (turns < 0.06) | (turns >= 0.1), turns >= 0.06
        ruled_out += any(clearly_better(one[:n], other[:n]) for n in SAMPLES)
    assert ruled_out <= 6


def test_bytes_that_only_make_the_logits_louder_are_ruled_out() -> None:
    assert left(256, {"none": 4, "255": 4}, {"none": 0.05, "255": 7.5}) == ("none",)
    assert left(256, {"none": 4, "255": 3}, {"none": 0.05, "255": 7.5}) == ("none",)
    assert left(256, {"none": 150, "255": 4}, {"none": 2.1, "255": 0.05}) == ("255",)
    assert left(256, {"none": 4, "255": 4}, {"none": 0.05, "255": 0.2}) == ("none", "255")


def test_guesses_are_told_from_answers() -> None:
    labels = [each % 2 for each in range(100)]
    assert standing_of({"none": told(range(40), 100)}, labels).at_chance
    assert not standing_of({"none": told(range(20), 100)}, labels).at_chance


def test_candidates_fit_the_channels_and_are_there_once() -> None:
    assert candidates(PIXELS, 1) == {"none": PIXELS, "half": HALF, "255": BYTES}
    assert list(candidates(MNIST, 1)) == ["none", "dataset", "half", "255"]
    assert list(candidates(IMAGENET, 3)) == ["none", "dataset", "half", "255"]


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_logits_that_differ_by_a_factor_and_a_constant_an_image_are_one_function(
    scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, 5, generator=generator)
    assert same_function(logits, scale * logits + torch.randn(16, 1, generator=generator))
    assert not same_function(logits, -logits)
    assert not same_function(logits, logits + 0.1 * torch.randn(16, 5, generator=generator))
    assert not same_function(logits, logits * torch.nan)
