"""What lies beside a network's weights: bookkeeping and other modules, parts that it lacks, constants."""

from typing import Any

import pytest
import torch
from torch import Tensor

from advbench.models.checkpoint.extras import Constants, extras_of, names_normaliser, normalisations_in
from advbench.models.checkpoint.match import Match, matches_of
from advbench.models.registry import PIXELS, Normalization

OWN = {"conv.weight": torch.ones(1), "bn.running_mean": torch.ones(1), "head.bias": torch.ones(3)}
ONE = torch.ones(1)


def matches(state: dict[str, Tensor]) -> list[Match]:
    return [each for each in matches_of(OWN, [("", state)]) if each.complete]


def beside(*keys: str, prefix: str = "") -> dict[str, Tensor]:
    return {**{prefix + key: each for key, each in OWN.items()}, **dict.fromkeys(keys, ONE)}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("mean", True),
        ("normalize.mean", True),
        ("a.image_std", True),
        ("mu", True),
        ("sigma", True),
        ("pixel_means", True),
        ("sds", True),
        ("bn.running_mean", False),
        ("bn.running_var", False),
        ("meaning", False),
        ("std.weight", False),
        ("demean", False),
        ("", False),
    ],
)
def test_a_normaliser_is_known_by_the_last_word_of_its_key(key: str, expected: bool) -> None:
    assert names_normaliser(key) is expected


@pytest.mark.parametrize(
    ("prefix", "key", "is_part"),
    [
        ("", "total_ops", False),
        ("", "conv.total_params", False),
        ("", "n_averaged", False),
        ("", "criterion.weight", False),
        ("", "loss_fn.pos_weight", False),
        ("", "mean", False),
        ("", "norm.mean", False),
        ("", "conv.mean", True),  # no pixel gets into a layer
        ("", "lossless.weight", False),
        ("", "extra.weight", True),
        ("", "conv.bias", True),
        ("model.", "model.extra.weight", True),
        ("model.", "model.conv.std", True),
        ("model.", "model.norm.std", False),
        ("model.", "decoder.weight", False),
        ("model.", "step", False),
        ("1.", "0.weight", True),
        ("1.", "2.weight", True),
        ("a.1.", "a.0.weight", True),
        ("a.1.", "b.0.weight", False),
        ("1.", "extra.weight", False),
    ],
)
def test_an_entry_is_a_part_where_images_or_logits_may_pass_it(prefix: str, key: str, is_part: bool) -> None:
    found = matches(beside(key, prefix=prefix))
    extras = extras_of(found[0], found)
    assert extras == (([], [key]) if is_part else ([key], []))


def test_another_copy_of_the_network_is_no_part_of_it() -> None:
    state = {**beside(prefix="student."), **beside(prefix="teacher.")}
    first, *_ = found = matches(state)
    assert extras_of(first, found).parts == []
    assert len(extras_of(first, found).harmless) == 3
    nested = {**beside(), **beside(prefix="attacker.")}
    found = matches(nested)
    assert extras_of(found[0], found).parts == [], "below the network's own empty prefix"


def constants(entries: dict[str, Any], prefix: str = "net.") -> list[Constants]:
    tensors = {key: torch.as_tensor(each) for key, each in entries.items()}
    return normalisations_in(matches({**tensors, **beside(prefix=prefix)})[0], OWN)


@pytest.mark.parametrize(
    ("mean", "std", "expected", "in_bytes"),
    [
        (0.5, 0.25, Normalization((0.5,), (0.25,)), False),
        ([[[0.4914]], [[0.1]]], [0.2471, 2.0], Normalization((0.4914, 0.1), (0.2471, 2.0)), False),
        ([127.5], [63.75], Normalization((0.5,), (0.25,)), True),
        ([0.0], [255.0], PIXELS, True),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], PIXELS, False),
        ([-0.5], [0.5], Normalization((-0.5,), (0.5,)), False),
    ],
)  # fmt: skip
def test_constants_beside_a_network_are_read_as_their_shortest_decimals(
    mean: Any, std: Any, expected: Normalization, in_bytes: bool
) -> None:
    (found,) = constants({"mean": mean, "std": std})
    assert found == Constants(expected, ("mean", "std"), in_bytes)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.5, 0.5], [0.25]),
        ([0.5], [0.0]),
        ([0.5], [-1.0]),
        ([torch.nan], [0.25]),
        ([0.5], [torch.inf]),
        ([], []),
        ([0.5] * 17, [0.25] * 17),
    ],
)
def test_what_cannot_normalise_is_no_normalisation(mean: list[float], std: list[float]) -> None:
    assert constants({"mean": mean, "std": std}) == []


def test_a_deviation_must_lie_beside_the_mean_under_the_same_stem() -> None:
    assert constants({"image_mean": 0.5, "std": 0.25, "other.image_std": 0.25}) == []
    (found,) = constants({"image_mean": 0.5, "image_std": 0.25, "image_sigma": 0.5})
    assert found.keys == ("image_mean", "image_std")


def test_of_several_normalisations_the_nearest_counts_and_equal_ones_once() -> None:
    far = {"x.mean": 0.1, "x.std": 0.1}
    near = {"a.norm.mean": 0.5, "a.norm.std": 0.25}
    (found,) = constants({**far, **near}, prefix="a.net.")
    assert found.keys == ("a.norm.mean", "a.norm.std")
    twice = {"a.other.mean": 0.5, "a.other.std": 0.25}
    assert len(constants({**near, **twice}, prefix="a.net.")) == 1
    differing = {"a.other.mean": 0.4, "a.other.std": 0.25}
    assert len(constants({**near, **differing}, prefix="a.net.")) == 2


def test_a_network_with_constants_of_its_own_needs_no_others() -> None:
    own = {**OWN, "norm.mean": ONE, "norm.std": ONE}
    state = {**{f"net.{key}": each for key, each in own.items()}, "mean": ONE / 2, "std": ONE}
    assert normalisations_in(matches_of(own, [("", state)])[0], own) == []
