"""Defenses inside the network against plain loops, and what their draws come to in the mean."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from advbench import Draws
from advbench.defenses import KWTA, DropoutActivations, QuantizeActivations
from advbench.errors import SpecError
from tests.defenses.families import images, streams


def activations(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()


@pytest.mark.parametrize("share", [0.1, 1.0, 2.5])
def test_pruned_activations_equal_plain_loops(share: float) -> None:
    x = activations(4, 2, 5, 5) - 0.3
    draws = streams(x)
    y = DropoutActivations(share=share)(x, draws)
    count = max(round(share * 50), 1)
    thrown = draws.uniform((count,)).double().numpy()
    for image, throws, got in zip(x.flatten(1).double().numpy(), thrown, y.flatten(1).numpy(), strict=True):
        p = np.abs(image) / np.abs(image).sum()
        running = np.cumsum(np.abs(image))
        drawn = {int((running > throw * running[-1]).argmax()) for throw in throws}
        expected = [
            v / (1 - (1 - q) ** count) if j in drawn else 0.0
            for j, (v, q) in enumerate(zip(image, p, strict=True))
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_in_the_mean_pruning_changes_nothing() -> None:
    image = activations(1, 3, 4, 4)
    x = image.expand(20000, -1, -1, -1)
    y = DropoutActivations(share=0.5)(x, Draws(0, torch.arange(len(x))))
    deviation = y.std(0) / len(x) ** 0.5
    assert ((y.mean(0) - image[0]).abs() <= 5 * deviation + 1e-6).all()
    assert (y == 0).float().mean() > (image == 0).float().mean() + 0.1


def test_strong_activations_survive_more_often() -> None:
    x = torch.linspace(0.0, 1.0, 20).expand(5000, -1)
    kept = (DropoutActivations(share=0.5)(x, streams(x)) != 0).float().mean(0)
    assert kept[0] == 0.0
    expected = 1 - (1 - x[0] / x[0].sum()) ** 10
    torch.testing.assert_close(kept, expected, atol=0.03, rtol=0.0)


def test_a_single_activation_is_kept_as_it_is() -> None:
    x = torch.tensor([[0.0, 3.0, 0.0]], requires_grad=True)
    y = DropoutActivations()(x, streams(x))
    assert y.tolist() == [[0.0, 3.0, 0.0]]
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.02, 0.1, 0.5, 1.0])
def test_the_winners_are_the_greatest_k(gamma: float) -> None:
    x = torch.randn(5, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    y = KWTA(gamma=gamma)(x)
    k = int(gamma * 300)
    for image, got in zip(x.flatten(1).numpy(), y.flatten(1).numpy(), strict=True):
        expected = np.zeros_like(image)
        winners = np.argsort(image)[-k:]
        expected[winners] = image[winners]
        np.testing.assert_array_equal(got, expected)


def test_those_that_tie_for_the_last_place_all_win() -> None:
    x = torch.tensor([[1.0, 2.0, 2.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert KWTA(gamma=0.2)(x).tolist() == [[0.0, 2.0, 2.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]]


def test_winners_win_again_and_someone_always_wins() -> None:
    x = activations(2, 3, 4, 4)
    assert torch.equal(KWTA()(KWTA()(x)), KWTA()(x))
    assert KWTA(gamma=0.001)(torch.tensor([[1.0, 5.0, 2.0]])).tolist() == [[0.0, 5.0, 0.0]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_levels_between_ends_equal_torchs_fake_quantisation(bits: int) -> None:
    x = 3.0 * images(2, 3, 8, 8) - 0.5
    top = 2**bits - 1
    expected = torch.fake_quantize_per_tensor_affine(x, 2.0 / top, 0, 0, top)
    torch.testing.assert_close(QuantizeActivations(bits=bits, low=0.0, high=2.0)(x), expected)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_levels_over_an_images_range_equal_numpys(bits: int) -> None:
    x = 7.0 * images(3, 2, 6, 6).double() - 2.0
    y = QuantizeActivations(bits=bits)(x)
    for image, got in zip(x.numpy(), y.numpy(), strict=True):
        step = (image.max() - image.min()) / (2**bits - 1)
        np.testing.assert_allclose(
            got, image.min() + step * np.rint((image - image.min()) / step), atol=1e-12
        )
        assert len(np.unique(got.round(9))) <= 2**bits
        assert np.abs(got - image).max() <= step / 2 + 1e-9


def test_rounding_twice_is_rounding_once() -> None:
    x = images(2, 3, 8, 8)
    for g in (QuantizeActivations(), QuantizeActivations(low=0.2, high=0.7)):
        torch.testing.assert_close(g(g(x)), g(x))


def test_the_soft_staircase_meets_the_hard_one_and_always_rises() -> None:
    g = QuantizeActivations(bits=2, low=0.0, high=3.0)
    x = torch.linspace(0.01, 2.99, 299, requires_grad=True).view(1, -1)
    y = g.soft(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert slope.min() > 0.199  # 1/5 on a level, the root of 5 on a jump
    assert slope.max() < 2.24
    assert (y - g(x)).abs().max() <= 0.5 + 1e-5
    levels = torch.arange(4.0).view(1, -1)
    torch.testing.assert_close(g.soft(levels), levels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DropoutActivations(share=0.0), r"share must lie in \(0, 10\], got 0"),
        (lambda: DropoutActivations(share=11.0), r"share must lie in \(0, 10\], got 11"),
        (lambda: KWTA(gamma=0.0), r"gamma must lie in \(0, 1\], got 0"),
        (lambda: KWTA(gamma=1.5), r"gamma must lie in \(0, 1\], got 1.5"),
        (lambda: QuantizeActivations(bits=0), "bits must lie in 1..16, got 0"),
        (lambda: QuantizeActivations(low=0.0), "give low and high, or neither"),
        (lambda: QuantizeActivations(low=1.0, high=1.0), "low must lie below high, got 1 and 1"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
