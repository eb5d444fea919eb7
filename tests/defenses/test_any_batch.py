"""What holds for every quantiser, codec and output defense, on any batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from advbench import bpda
from advbench.defenses import (
    JPEG,
    Argmax,
    Binarize,
    BitDepth,
    Halftone,
    ReverseSigmoid,
    Round,
    Thermometer,
    WebP,
)
from advbench.errors import DefenseError, SpecError

VALUES: dict[str, Any] = {
    "round": Round(),
    "bit-depth": BitDepth(),
    "bit-depth of 16": BitDepth(bits=16),
    "binarize": Binarize(),
    "thermometer": Thermometer(),
    "thermometer channels": Thermometer(levels=5, decode=False),
}
IMAGES: dict[str, Any] = {
    **VALUES,
    "halftone": Halftone(),
    "halftone of 5": Halftone(levels=5),
    "jpeg": JPEG(),
    "jpeg of 10": JPEG(quality=10),
    "webp": WebP(),
}
LOGITS: dict[str, Any] = {"reverse-sigmoid": ReverseSigmoid(), "argmax": Argmax(), "round": Round(step=0.5)}
SHAPES = [(1, 1, 1, 1), (2, 1, 8, 8), (2, 3, 32, 32), (2, 3, 5, 9), (1, 2, 7, 3), (1, 3, 224, 224)]
OWN = [
    (name, each) for name, g in {**IMAGES, **LOGITS}.items() for each in g.substitutes if each != "identity"
]


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def logits(n: int = 9, k: int = 10) -> Tensor:
    return 5.0 * torch.randn(n, k, generator=torch.Generator().manual_seed(0))


def output_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[1] * 5, *shape[2:]) if name == "thermometer channels" else shape


def own(name: str, substitute: str) -> Callable[[Tensor], Tensor]:
    method: Callable[[Tensor], Tensor] = getattr({**IMAGES, **LOGITS}[name], substitute)
    return method


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", IMAGES)
def test_any_image_and_type_comes_back(name: str, shape: tuple[int, ...]) -> None:
    x, g = images(*shape), IMAGES[name]
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        y = g(x.to(dtype))
        assert y.shape == output_shape(name, shape)
        assert y.dtype == dtype
        assert y.min() >= 0.0
        assert y.max() <= 1.0


@pytest.mark.parametrize("name", [*IMAGES, *LOGITS])
def test_half_precision_is_rounded_and_not_computed_in(name: str) -> None:
    g, x = (IMAGES[name], images(2, 3, 8, 8)) if name in IMAGES else (LOGITS[name], logits())
    for dtype in (torch.float16, torch.bfloat16):
        x = x.to(dtype)
        assert torch.equal(g(x), g(x.float()).to(dtype))


@pytest.mark.parametrize("name", IMAGES)
def test_no_image_leaves_no_image(name: str) -> None:
    assert IMAGES[name](images(0, 3, 8, 8)).shape == output_shape(name, (0, 3, 8, 8))


@pytest.mark.parametrize("shape", [(9, 1, 8, 8), (9, 3, 32, 32), (9, 3, 5, 7)])
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_comes_out_the_same_in_any_batch(name: str, shape: tuple[int, ...]) -> None:
    same_in_any_batch(IMAGES[name], images(*shape))


@pytest.mark.parametrize("name", LOGITS)
def test_logits_come_out_the_same_in_any_batch(name: str) -> None:
    same_in_any_batch(LOGITS[name], logits())


@pytest.mark.parametrize(("name", "substitute"), OWN)
def test_a_gradient_comes_out_the_same_in_any_batch(name: str, substitute: str) -> None:
    s = own(name, substitute)
    for x in [images(9, 3, 12, 20), images(9, 1, 5, 7)] if name in IMAGES else [logits()]:
        same_in_any_batch(lambda x: gradient(s, x), x)  # called at once


@pytest.mark.parametrize("name", VALUES)
def test_vectors_and_activations_of_any_range_are_taken(name: str) -> None:
    for x in (images(5, 7), 40.0 * images(5, 3, 4, 4) - 20.0, torch.zeros(2, 6), -images(2, 6)):
        assert VALUES[name](x).shape == output_shape(name, tuple(x.shape))
        same_in_any_batch(VALUES[name], x)


@pytest.mark.parametrize("name", [*IMAGES, *LOGITS])
def test_the_input_is_left_as_it_was_however_it_lies_in_memory(name: str) -> None:
    g, x = (IMAGES[name], images(2, 3, 8, 12)) if name in IMAGES else (LOGITS[name], logits(8, 10))
    kept = x.clone()
    y = g(x)
    assert torch.equal(x, kept)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(g(turned), y)


@pytest.mark.parametrize(("name", "substitute"), OWN)
def test_a_substitute_has_the_shape_of_its_defense_and_a_gradient_everywhere(
    name: str, substitute: str
) -> None:
    s, g = own(name, substitute), {**IMAGES, **LOGITS}[name]
    shapes = [(1, 1, 1, 1), (2, 3, 32, 32), (1, 3, 5, 9)] if name in IMAGES else [(9, 10)]
    for shape in shapes:
        x = 0.8 * images(*shape) + 0.2  # dark pixels have no gradient in a ramp
        for dtype in (torch.float32, torch.bfloat16):
            y = s(x.to(dtype))
            assert y.shape == g(x).shape
            assert y.dtype == dtype
        found = gradient(s, x)
        assert found.isfinite().all()
        assert found.ne(0.0).float().mean() > 0.95


@pytest.mark.parametrize(("name", "substitute"), OWN)
def test_bpda_takes_each_substitute_and_keeps_the_defense(name: str, substitute: str) -> None:
    g, s = {**IMAGES, **LOGITS}[name], own(name, substitute)
    x = (images(2, 3, 8, 8) if name in IMAGES else logits()).requires_grad_()
    y = bpda(g, s)(x)
    assert torch.equal(y, g(x.detach()))
    (found,) = torch.autograd.grad(weighted(y), x)
    assert torch.equal(found, gradient(s, x.detach()))


@pytest.mark.parametrize("name", ["halftone", "jpeg", "webp"])
def test_what_needs_images_says_so(name: str) -> None:
    with pytest.raises(DefenseError, match=rf"{name} needs images of shape \(n, c, h, w\), got \(2, 7\)"):
        IMAGES[name](images(2, 7))


@pytest.mark.parametrize("name", ["reverse-sigmoid", "argmax"])
def test_what_needs_logits_says_so(name: str) -> None:
    with pytest.raises(DefenseError, match=rf"{name} needs logits of shape \(n, k\), got \(2, 3, 8, 8\)"):
        LOGITS[name](images(2, 3, 8, 8))


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


def gradient(s: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(weighted(s(x)), x)
    return found


def weighted(y: Tensor) -> Tensor:
    """The sum of a linear function of each image, so that the gradient of one does not depend on others."""
    return (y * torch.linspace(-1.0, 1.1, y[0].numel()).view(y[0].shape)).sum()


def same_in_any_batch(g: Callable[[Tensor], Tensor], x: Tensor) -> None:
    whole = g(x)
    for rows in ([0], [1, 0], [len(x) - 1, 0, 1], list(range(len(x) - 1))):
        some = torch.tensor(rows)
        assert torch.equal(g(x[some]), whole[some])
