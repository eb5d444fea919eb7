"""Quantisers, and their negative control: without BPDA the attack fails, with BPDA it succeeds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from advbench import Placement, Threat, evaluate, identity
from advbench.attacks import PGD
from advbench.backward import Map
from advbench.checkpoint.load import load_checkpoint
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defenses import BitDepth, Round
from advbench.errors import SpecError
from advbench.models.load import build_network, bundled_weights
from advbench.spec import Spec


def pixels(seed: int) -> Tensor:
    return torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))


@given(st.floats(0.01, 1.0), st.integers(0, 1000))
def test_rounding_moves_by_at_most_half_a_step_and_twice_is_once(step: float, seed: int) -> None:
    x, g = pixels(seed), Round(step=step)
    assert (g(x) - x).abs().max() <= step / 2 + 1e-6
    torch.testing.assert_close(g(g(x)), g(x))


@given(st.integers(1, 8), st.integers(0, 1000))
def test_bit_depth_leaves_that_many_levels_in_the_box(bits: int, seed: int) -> None:
    x, g = pixels(seed), BitDepth(bits=bits)
    y = g(x)
    assert torch.equal(g(y), y)
    assert y.min() >= 0.0
    assert y.max() <= 1.0
    levels = y * (2**bits - 1)
    torch.testing.assert_close(levels, levels.round(), rtol=0.0, atol=1e-4)


def test_all_levels_are_reached() -> None:
    assert len(set(BitDepth(bits=3)(torch.linspace(0, 1, 1001)).tolist())) == 8


@pytest.mark.parametrize("bits", [1, 3, 5, 8])
def test_bit_depth_equals_the_reference_in_numpy(bits: int) -> None:
    """Xu et al.'s `reduce_precision`: `rint(x * (2**bits - 1)) / (2**bits - 1)`, in float64."""
    x = np.random.default_rng(0).random((50, 50))
    expected = np.rint(x * (2**bits - 1)) / (2**bits - 1)
    np.testing.assert_allclose(BitDepth(bits=bits)(torch.from_numpy(x)).numpy(), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 8, 8), (2, 3, 32, 32), (1, 3, 224, 224), (2, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_any_shape_and_type_comes_back(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.rand(shape).to(dtype)
    for g in (Round(), BitDepth()):
        assert g(x).shape == x.shape
        assert g(x).dtype == dtype


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Round(step=0.0), "step must be positive"),
        (lambda: Round(step=float("inf")), "step must be positive"),
        (lambda: BitDepth(bits=0), r"bits must lie in 1..16, got 0"),
        (lambda: BitDepth(bits=17), r"bits must lie in 1..16, got 17"),
    ],
)
def test_parameters_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize(
    ("defense", "place"),
    [
        (Round(), "input"),
        (BitDepth(bits=3), "input"),
        (Round(step=0.25), "layer2"),
        (Round(step=1.0), "logits"),
    ],
    ids=["round", "bit-depth", "round inside", "round on logits"],
)
def test_without_bpda_the_attack_fails_and_with_it_succeeds(defense: Map, place: str) -> None:
    digits = load_dataset("digits", Place(root=Path(), split="test"))
    network = bundled_network()
    defenses = {"shattering": Placement(defense, place), "identity": Placement(identity, place)}
    threat, attack = Threat("linf", 0.15), PGD(steps=20, random_start=False)
    found = evaluate(
        network, digits, threat=threat, attacks={"pgd": attack}, defenses=defenses, indices=range(100)
    )
    undefended, shattering, nothing = found.rows
    assert shattering.rates["clean"].accuracy > 0.9
    assert shattering.rates["shattered"].accuracy > 0.8
    assert shattering.rates["bpda"].accuracy < 0.2
    assert nothing.rates["bpda"] == nothing.rates["shattered"] == undefended.rates["shattered"]


def bundled_network() -> torch.nn.Module:
    spec = Spec("digits-cnn")
    path = bundled_weights(spec)
    assert path is not None
    return load_checkpoint(path, lambda: build_network(spec, 10), spec, torch.device("cpu")).network
