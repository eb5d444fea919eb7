"""What holds for every defense that smooths, randomises or sits inside the network, on any images."""

from typing import Any

import pytest
import torch
from torch import Tensor

from advbench.defenses import QuantizeActivations
from tests.defenses.families import FAMILIES, called, images, is_random, streams, substitute

SHAPES = [(1, 1, 1, 1), (2, 1, 8, 8), (2, 3, 32, 32), (1, 3, 5, 9)]
ON_ANYTHING = ["noise", "uniform noise", "dropout-activations", "k-wta", "quantize-activations"]
SMOOTHING = ["median", "median of 2x2", "median of 5x5", "gaussian", "nlm"]
RANDOM = [name for name, make in FAMILIES.items() if is_random(make(1))]
DIFFERENTIABLE = [name for name, make in FAMILIES.items() if getattr(make(1), "differentiable", False)]
WITH_SUBSTITUTES = [(name, each) for name, make in FAMILIES.items() for each in make(1).substitutes]


def output_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if name != "resize-pad":
        return shape
    return (*shape[:2], *(round(side * 331 / 299) for side in shape[2:]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_any_shape_and_type_comes_back(name: str, shape: tuple[int, ...]) -> None:
    g, x = FAMILIES[name](shape[1]), images(*shape)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        y = called(g, x.to(dtype), streams(x))
        assert y.shape == output_shape(name, shape)
        assert y.dtype == dtype
        assert y.isfinite().all()


@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_as_large_as_imagenets_comes_back(name: str) -> None:
    x = images(1, 3, 224, 224)
    y = called(FAMILIES[name](3), x, streams(x))
    assert y.shape == output_shape(name, (1, 3, 224, 224))
    assert y.isfinite().all()


@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_is_rounded_and_not_computed_in(name: str) -> None:
    g, x = FAMILIES[name](3), images(2, 3, 8, 8).half()
    torch.testing.assert_close(
        called(g, x, streams(x)), called(g, x.float(), streams(x)).half(), rtol=1e-3, atol=1e-7
    )


@pytest.mark.parametrize("shape", [(9, 1, 8, 8), (9, 3, 32, 32), (9, 3, 5, 7)])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_comes_out_the_same_in_any_batch(name: str, shape: tuple[int, ...]) -> None:
    g, x = FAMILIES[name](shape[1]), images(*shape)
    whole = called(g, x, streams(x))
    for rows in ([4], [0, 1, 2], [8, 7, 6, 5, 4, 3, 2], [3, 3]):
        some = torch.tensor(rows)
        assert torch.equal(called(g, x[some], streams(x).take(some)), whole[some])


@pytest.mark.parametrize("name", ON_ANYTHING)
def test_vectors_and_activations_of_any_range_are_taken(name: str) -> None:
    g = FAMILIES[name](1)
    for x in (images(5, 7), 40.0 * images(5, 3, 4, 4) - 20.0, torch.zeros(2, 6), -images(2, 6)):
        y = called(g, x, streams(x))
        assert y.shape == x.shape
        assert y.isfinite().all()
        assert torch.equal(called(g, x[1:2], streams(x).take(torch.tensor([1]))), y[1:2])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_input_is_left_as_it_was(name: str) -> None:
    x = images(2, 3, 8, 8)
    kept = x.clone()
    called(FAMILIES[name](3), x, streams(x))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_draws_give_the_same_output_and_others_another(name: str) -> None:
    g, x = FAMILIES[name](3), images(1, 3, 16, 16).expand(3, -1, -1, -1)
    state = torch.get_rng_state()
    first = called(g, x, streams(x))
    assert torch.equal(called(g, x, streams(x)), first)
    others = [called(g, x, streams(x, seed)) for seed in range(1, 6)]
    others.append(called(g, x, streams(x).stream("another")))
    assert not all(torch.equal(each, first) for each in others)
    assert any(
        not torch.equal(each[0], each[1]) for each in [first, *others]
    )  # an image has draws of its own
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", [n for n in FAMILIES if "noise" not in n and n != "dropout-activations"])
def test_pixels_stay_in_the_range_of_the_image(name: str) -> None:
    x = 0.2 + 0.6 * images(3, 3, 12, 12)
    y = called(FAMILIES[name](3), x, streams(x))
    # Zeros where something was padded or dropped; a bank of noise is as bright as it is.
    low, high = (0.0, 1.0) if name == "quilt" else (0.0, 0.8)
    assert y.min() >= low
    assert y.max() <= high + 1e-6


@pytest.mark.parametrize(
    "name", ["median", "median of 2x2", "median of 5x5", "gaussian", "nlm", "resize-pad back"]
)
def test_an_image_of_one_colour_stays_as_it_is(name: str) -> None:
    x = torch.full((2, 3, 8, 8), 0.7)
    y = called(FAMILIES[name](3), x, streams(x))
    inner = y[..., 2:-2, 2:-2] if name == "resize-pad back" else y  # its border is padding
    torch.testing.assert_close(inner, torch.full_like(inner, 0.7))


@pytest.mark.parametrize(("name", "which"), WITH_SUBSTITUTES)
def test_a_substitute_has_the_output_shape_and_a_gradient(name: str, which: str) -> None:
    for shape in SHAPES[1:]:
        g = FAMILIES[name](shape[1])
        x = images(*shape).requires_grad_()
        y = called(substitute(g, which), x, streams(x)) if which != "identity" else x
        assert y.shape == called(g, x.detach(), streams(x)).shape
        weights = images(*y.shape, seed=1)
        (grad,) = torch.autograd.grad((y * weights).sum(), x)
        assert grad.isfinite().all()
        assert (grad.flatten(1) != 0).any(1).all()


@pytest.mark.parametrize("name", [n for n, each in WITH_SUBSTITUTES if each in ("smooth", "soft")])
def test_a_substitute_of_its_own_lies_near_the_defense(name: str) -> None:
    for which in set(FAMILIES[name](1).substitutes) - {"identity", "exact"}:
        ramp = torch.linspace(0, 1, 16)
        x = (0.1 * images(2, 1, 16, 16) + 0.45 * (ramp[:, None] + ramp)).clamp(0, 1)
        g = FAMILIES[name](1)
        y, s = called(g, x, streams(x)), called(substitute(g, which), x, streams(x))
        assert (s - y).abs().mean() < 0.05


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_its_own_gradient_is_that_of_finite_differences(name: str) -> None:
    x = images(2, 1, 6, 6).double().requires_grad_()
    g, draws = FAMILIES[name](1), streams(x)

    def total(x: Tensor) -> Tensor:
        y = called(g, x, draws)
        return (y * images(*y.shape, seed=1)).flatten(1).sum(1)

    assert torch.autograd.gradcheck(total, x, eps=1e-7, atol=1e-5)


def test_what_rounds_has_no_gradient_of_its_own() -> None:
    for g in (QuantizeActivations(), QuantizeActivations(low=0.0, high=1.0)):
        x = images(2, 3, 4, 4).requires_grad_()
        (grad,) = torch.autograd.grad(g(x).sum(), x)
        assert not grad.any()


def test_who_calls_itself_differentiable_lists_its_own_gradient_where_the_identity_is_not_the_same() -> None:
    made: dict[str, Any] = {name: make(1) for name, make in FAMILIES.items()}
    for name, g in made.items():
        listed = "exact" in g.substitutes
        assert listed == (name in DIFFERENTIABLE and "noise" not in name)
