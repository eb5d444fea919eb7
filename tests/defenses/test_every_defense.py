"""What holds for every built-in defense, on any batch: shapes, types, neighbours, draws and substitutes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from advbench import Draws, bpda
from advbench.defended.substitutes import make_substitute
from advbench.defenses import (
    DEFENSES,
    JPEG,
    Binarize,
    Halftone,
    QuantizeActivations,
    ReverseSigmoid,
    Thermometer,
    WebP,
)
from advbench.errors import DefenseError, SpecError
from tests.defenses.families import (
    DIFFERENTIABLE,
    FAMILIES,
    ON_IMAGES,
    ON_LOGITS,
    ON_VALUES,
    RANDOM,
    SUBSTITUTES,
    called,
    images,
    logits,
    output_shape,
    streams,
)

SHAPES = [(1, 1, 1, 1), (2, 1, 8, 8), (2, 3, 32, 32), (2, 3, 5, 9), (1, 2, 7, 3), (1, 3, 224, 224)]
ROWS = [[0], [1, 0], [8, 0, 1], [4], [0, 1, 2], [0, 1, 2, 3, 4, 5, 6, 7], [8, 7, 6, 5, 4, 3, 2], [3, 3]]
ONLY_IMAGES = [name for name, each in FAMILIES.items() if each.takes == "images"]
UNBOUNDED = (
    "noise",
    "uniform noise",
    "dropout-activations",
    "purify",
    "purify once",
    "purify by langevin",
)
"""What adds or scales up, and so leaves the range of its input."""
SMOOTHING = ("median", "median of 2x2", "median of 5x5", "gaussian", "nlm")
WITHIN_THE_RANGE = (
    *SMOOTHING,
    "tv-min",
    "resize-pad",
    "resize-pad back",
    "crop-ensemble",
    "k-wta",
    "meansparse",
    "quantize-activations",
    "quantize-activations between ends",
)
FEW_LEVELS = ("binarize", "halftone", "halftone of 5", "thermometer channels")
"""What is far from anything soft, and near it only where that is hardened; see their own tests."""
LIKENESSES = [
    (name, which)
    for name, which in SUBSTITUTES
    if name in ON_IMAGES and name not in FEW_LEVELS and which not in ("identity", "exact")
]


def test_every_defense_of_the_registry_is_tested_here() -> None:
    of_ensembles = {
        "ensemble-vote",
        "ensemble-mean",
        "ensemble-pick",
    }  # `test_ensemble.py`, on logits of several
    assert {each.entry for each in FAMILIES.values()} == set(DEFENSES) - of_ensembles
    for each in FAMILIES.values():
        assert type(each.make(3)) is DEFENSES[each.entry].load()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ON_IMAGES)
def test_any_image_and_type_comes_back(name: str, shape: tuple[int, ...]) -> None:
    g, x = FAMILIES[name].make(shape[1]), images(*shape)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        y = called(g, x.to(dtype), streams(x))
        assert y.shape == output_shape(name, shape)
        assert y.dtype == dtype
        assert y.isfinite().all()
        if name not in UNBOUNDED:
            assert y.min() >= 0.0
            assert y.max() <= 1.0


@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_is_rounded_and_not_computed_in(name: str) -> None:
    g, x = FAMILIES[name].make(3), FAMILIES[name].example()
    for dtype in (torch.float16, torch.bfloat16):
        half = x.to(dtype)
        y = called(g, half, streams(x))
        assert torch.equal(y, called(g, half.float(), streams(x)).to(dtype))


@pytest.mark.parametrize("name", ON_IMAGES)
def test_no_image_leaves_no_image(name: str) -> None:
    x = images(0, 3, 8, 8)
    assert called(FAMILIES[name].make(3), x, streams(x)).shape == output_shape(name, (0, 3, 8, 8))


@pytest.mark.parametrize("shape", [(9, 1, 8, 8), (9, 3, 32, 32), (9, 3, 5, 7)])
@pytest.mark.parametrize("name", ON_IMAGES)
def test_an_image_comes_out_the_same_in_any_batch(name: str, shape: tuple[int, ...]) -> None:
    g = FAMILIES[name].make(shape[1])
    same_in_any_batch(lambda x, draws: called(g, x, draws), images(*shape))


@pytest.mark.parametrize("name", ON_LOGITS)
def test_logits_come_out_the_same_in_any_batch(name: str) -> None:
    g = FAMILIES[name].make(3)
    same_in_any_batch(lambda x, draws: called(g, x, draws), logits())


@pytest.mark.parametrize(("name", "which"), SUBSTITUTES)
def test_a_gradient_comes_out_the_same_in_any_batch(name: str, which: str) -> None:
    for x in [logits()] if name in ON_LOGITS else [images(9, 3, 12, 20), images(9, 1, 5, 7)]:
        s = make_substitute(which, FAMILIES[name].make(x.shape[1] if name in ON_IMAGES else 3))
        same_in_any_batch(lambda x, draws, s=s: gradient(s, x, draws), x)  # type: ignore[misc]  # a default


@pytest.mark.parametrize("name", ON_VALUES)
def test_vectors_and_activations_of_any_range_are_taken(name: str) -> None:
    for x in (images(9, 7), 40.0 * images(9, 3, 4, 4) - 20.0, torch.zeros(9, 6), -images(9, 6)):
        g = FAMILIES[name].make(x.shape[1])
        y = called(g, x, streams(x))
        assert y.shape == output_shape(name, tuple(x.shape))
        assert y.isfinite().all()
        same_in_any_batch(partial(called, g), x)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_input_is_left_as_it_was_however_it_lies_in_memory(name: str) -> None:
    g, x = FAMILIES[name].make(3), FAMILIES[name].example()
    kept = x.clone()
    y = called(g, x, streams(x))
    assert torch.equal(x, kept)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(called(g, turned, streams(x)), y)


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_draws_give_the_same_output_and_others_another(name: str) -> None:
    g, x = FAMILIES[name].make(3), images(1, 3, 16, 16).expand(3, -1, -1, -1)
    state = torch.get_rng_state()
    first = called(g, x, streams(x))
    assert torch.equal(called(g, x, streams(x)), first)
    others = [called(g, x, streams(x, seed)) for seed in range(1, 6)]
    others.append(called(g, x, streams(x).stream("another")))
    assert not all(torch.equal(each, first) for each in others)
    assert any(not torch.equal(each[0], each[1]) for each in [first, *others])  # draws of an image's own
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", WITHIN_THE_RANGE)
def test_no_pixel_is_brighter_than_the_images_brightest(name: str) -> None:
    x = 0.2 + 0.6 * images(3, 3, 12, 12)
    y = called(FAMILIES[name].make(3), x, streams(x))
    assert y.min() >= (0.2 - 1e-6 if name in SMOOTHING else 0.0)  # what is padded or dropped becomes 0
    assert y.max() <= 0.8 + 1e-6


@pytest.mark.parametrize("name", [*SMOOTHING, "resize-pad back"])
def test_an_image_of_one_colour_stays_as_it_is(name: str) -> None:
    x = torch.full((2, 3, 8, 8), 0.7)
    y = called(FAMILIES[name].make(3), x, streams(x))
    inner = y[..., 2:-2, 2:-2] if name == "resize-pad back" else y  # its border is padding
    torch.testing.assert_close(inner, torch.full_like(inner, 0.7))


@pytest.mark.parametrize(("name", "which"), SUBSTITUTES)
def test_a_substitute_has_the_shape_of_its_defense_and_a_gradient_everywhere(name: str, which: str) -> None:
    shapes = [(1, 1, 1, 1), (2, 1, 8, 8), (2, 3, 32, 32), (1, 3, 5, 9)]
    for shape in [(9, 10)] if name in ON_LOGITS else shapes:
        g = FAMILIES[name].make(shape[1] if name in ON_IMAGES else 3)
        s = make_substitute(which, g)
        x = 0.8 * images(*shape) + 0.2  # dark pixels have no gradient in a ramp
        for dtype in (torch.float32, torch.bfloat16):
            y = called(s, x.to(dtype), streams(x))
            assert y.shape == output_shape(name, shape)
            assert y.dtype == dtype
        found = gradient(s, x, streams(x))
        assert found.isfinite().all()
        assert (found.flatten(1) != 0).any(1).all()
        if which != "exact" and name != "tv-min":  # whose dropped pixels play no part
            assert found.ne(0.0).float().mean() > 0.95


@pytest.mark.parametrize(("name", "which"), SUBSTITUTES)
def test_bpda_takes_each_substitute_and_keeps_the_defense(name: str, which: str) -> None:
    g = FAMILIES[name].make(3)
    s, x = make_substitute(which, g), FAMILIES[name].example().requires_grad_()
    y = bpda(g, s)(x, streams(x))
    assert torch.equal(y, called(g, x.detach(), streams(x)))
    (found,) = torch.autograd.grad(weighted(y), x)
    assert torch.equal(found, gradient(s, x.detach(), streams(x)))


@pytest.mark.parametrize(("name", "which"), LIKENESSES)
def test_a_substitute_of_its_own_lies_near_the_defense(name: str, which: str) -> None:
    g = FAMILIES[name].make(1)
    ramp = torch.linspace(0, 1, 16)
    x = (0.1 * images(2, 1, 16, 16) + 0.45 * (ramp[:, None] + ramp)).clamp(0, 1)
    y, s = called(g, x, streams(x)), called(make_substitute(which, g), x, streams(x))
    assert (s - y).abs().mean() < 0.05


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_its_own_gradient_is_that_of_finite_differences(name: str) -> None:
    x = images(2, 1, 6, 6).double().requires_grad_()
    g, draws = FAMILIES[name].make(1), streams(x)

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
    for name, each in FAMILIES.items():
        listed = "exact" in each.make(3).substitutes
        assert listed == (name in DIFFERENTIABLE and "noise" not in name)


@pytest.mark.parametrize("name", ONLY_IMAGES)
def test_what_needs_images_says_so(name: str) -> None:
    x, entry = images(2, 7), FAMILIES[name].entry
    with pytest.raises(DefenseError, match=rf"{entry} needs images of shape \(n, c, h, w\), got \(2, 7\)"):
        called(FAMILIES[name].make(3), x, streams(x))


@pytest.mark.parametrize("name", ["reverse-sigmoid", "argmax"])
def test_what_needs_logits_says_so(name: str) -> None:
    with pytest.raises(DefenseError, match=rf"{name} needs logits of shape \(n, k\), got \(2, 3, 8, 8\)"):
        FAMILIES[name].make(3)(images(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binarize(threshold=float("nan")), "threshold must be a finite number, got nan"),
        (lambda: Thermometer(levels=1), r"levels must lie in 2..256, got 1"),
        (lambda: Thermometer(levels=257), r"levels must lie in 2..256, got 257"),
        (lambda: Halftone(levels=1), r"levels must lie in 2..256, got 1"),
        (lambda: JPEG(quality=0), r"quality must lie in 1..100, got 0"),
        (lambda: JPEG(quality=101), r"quality must lie in 1..100, got 101"),
        (lambda: WebP(quality=-1), r"quality must lie in 0..100, got -1"),
        (lambda: WebP(method=7), r"method must lie in 0..6, got 7"),
        (lambda: ReverseSigmoid(beta=0.0), r"beta must lie in \(0, 1\], got 0"),
        (lambda: ReverseSigmoid(beta=1.5), r"beta must lie in \(0, 1\], got 1.5"),
        (lambda: ReverseSigmoid(gamma=0.0), "gamma must be positive, got 0"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def gradient(s: Any, x: Tensor, draws: Draws) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(weighted(called(s, x, draws)), x)
    return found


def weighted(y: Tensor) -> Tensor:
    """The sum of a linear function of each image, so that the gradient of one does not depend on others."""
    return (y * torch.linspace(-1.0, 1.1, y[0].numel()).view(y[0].shape)).sum()


def same_in_any_batch(g: Callable[[Tensor, Draws], Tensor], x: Tensor) -> None:
    """That of nine images each comes out alike, bit for bit, whichever others are with it."""
    whole = g(x, streams(x))
    for rows in ROWS:
        some = torch.tensor(rows)
        assert torch.equal(g(x[some], streams(x).take(some)), whole[some])
