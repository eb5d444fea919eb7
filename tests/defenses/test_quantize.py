"""Quantisers, and what stands in for them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from advbench.defenses import Binarize, BitDepth, Round, Thermometer
from advbench.defenses.quantize import soft_round
from advbench.errors import SpecError


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


def test_binarize_leaves_black_and_white_and_twice_is_once() -> None:
    x = pixels(0)
    y = Binarize()(x)
    assert torch.equal(y, (x > 0.5).float())
    assert torch.equal(Binarize()(y), y)


def test_binarize_equals_one_bit() -> None:
    """Both send one half itself to black: Xu et al. round halves to even."""
    x = torch.linspace(0, 1, 1001)
    assert torch.equal(Binarize()(x), BitDepth(bits=1)(x))


def test_sixteen_bits_of_a_half_precision_image_are_finite() -> None:
    """65535 is more than float16 can hold."""
    x = pixels(0).half()
    torch.testing.assert_close(BitDepth(bits=16)(x), x)


def test_a_fine_quantiser_in_half_precision_is_that_of_its_values_in_float32() -> None:
    x = pixels(0).bfloat16()
    for g in (Round(step=0.01), BitDepth(bits=8)):
        assert torch.equal(g(x), g(x.float()).bfloat16())


@given(st.floats(0.02, 4.0), st.integers(0, 1000))
def test_soft_rounding_meets_whole_numbers_and_rises_within_half_a_step(
    temperature: float, seed: int
) -> None:
    u = torch.linspace(-3, 3, 601, dtype=torch.float64) + seed / 7000
    s = soft_round(u, temperature)
    assert (s - u.round()).abs().max() <= 0.5 + 1e-9
    assert (s.diff() > 0).all()
    whole = torch.arange(-3.0, 4.0, dtype=torch.float64)
    torch.testing.assert_close(soft_round(whole, temperature), whole)


@pytest.mark.parametrize("temperature", [0.05, 0.25, 1.0])
def test_the_slopes_of_soft_rounding_are_those_of_its_formula(temperature: float) -> None:
    u = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(soft_round(u, temperature).sum(), u)
    level, jump = temperature**2 / (temperature**2 + 0.25), (1 + 0.25 / temperature**2) ** 0.5
    torch.testing.assert_close(slope, torch.tensor([level, jump, level, jump], dtype=torch.float64))


def test_soft_rounding_runs_from_rounding_to_the_identity() -> None:
    u = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6 - 3
    assert (soft_round(u, 1e-3) - u.round()).abs().mean() < 0.005
    assert (soft_round(u, 100.0) - u).abs().max() < 1e-4


@pytest.mark.parametrize("g", [Round(), BitDepth(), Binarize()], ids=["round", "bit-depth", "binarize"])
def test_the_soft_quantiser_becomes_the_defense_as_the_temperature_falls(
    g: Round | BitDepth | Binarize,
) -> None:
    x = pixels(0)
    errors = [float((g.soft(x, temperature) - g(x)).abs().mean()) for temperature in (1.0, 0.1, 0.005)]
    assert errors[1] < errors[0]
    assert errors[2] < errors[0] / 5


def test_the_soft_quantiser_at_its_default_is_nearer_than_the_identity() -> None:
    x = pixels(0)
    for g in (Round(), BitDepth(), Binarize()):
        assert (g.soft(x) - g(x)).abs().mean() < 0.8 * (x - g(x)).abs().mean()


@pytest.mark.parametrize("g", [Round(), Round(step=0.3), BitDepth(bits=1), Binarize(), Thermometer()])
def test_a_soft_quantiser_at_the_pixels_changes_no_sign_of_a_gradient(
    g: Round | BitDepth | Binarize | Thermometer,
) -> None:
    x = pixels(0).requires_grad_()
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (through,) = torch.autograd.grad(g.soft(x), x, grad)
    assert torch.equal(through.sign(), grad.sign())
