"""Defenses of the logits: what they keep, and what they hide."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from advbench.defenses import Argmax, ReverseSigmoid, Round


def logits(n: int = 50, k: int = 10, scale: float = 5.0) -> Tensor:
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(0))


def plain(y: np.ndarray, beta: float, gamma: float) -> np.ndarray:
    """Lee et al. 2018, equations 2 and 3, in float64."""
    inverse = np.log(y / (1 - y))
    perturbed = y - beta * (1 / (1 + np.exp(-gamma * inverse)) - 0.5)
    result: np.ndarray = perturbed / perturbed.sum(1, keepdims=True)
    return result


@pytest.mark.parametrize(("beta", "gamma"), [(1.0, 0.1), (0.5, 0.5), (0.9, 2.0)])
def test_the_reverse_sigmoid_is_that_of_the_paper(beta: float, gamma: float) -> None:
    x = logits(scale=2.0)
    expected = plain(F.softmax(x.double(), 1).numpy(), beta, gamma)
    found = ReverseSigmoid(beta=beta, gamma=gamma)(x).exp().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("beta", "gamma", "theirs"),
    [
        (
            1.0,
            0.1,
            [[0.63552381, 0.21963538, 0.14484081], [0.11277013, 0.77445974, 0.11277013]],
        ),
        (
            0.7,
            0.5,
            [[0.51447709, 0.25985733, 0.22566558], [0.21315581, 0.57368837, 0.21315581]],
        ),
    ],
)
def test_it_equals_that_of_the_adversarial_robustness_toolbox(
    beta: float, gamma: float, theirs: list[list[float]]
) -> None:
    """`ReverseSigmoid(beta=beta, gamma=gamma)` of ART 1.20.1."""
    x = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05]], dtype=torch.float64).log()
    found = ReverseSigmoid(beta=beta, gamma=gamma)(x).exp().numpy()
    np.testing.assert_allclose(found, theirs, atol=1e-8)


def test_its_outputs_are_logarithms_of_probabilities() -> None:
    y = ReverseSigmoid()(logits())
    torch.testing.assert_close(y.exp().sum(1), torch.ones(50))
    torch.testing.assert_close(F.softmax(y, 1), y.exp())


def test_a_class_above_one_half_stays_the_label() -> None:
    x = logits()
    sure = F.softmax(x, 1).amax(1) > 0.5
    assert sure.sum() > 30
    assert torch.equal(ReverseSigmoid()(x).argmax(1)[sure], x.argmax(1)[sure])


def test_it_bends_towards_one_half_and_against_the_gradient() -> None:
    """Where a network is sure, the perturbed probability falls as the true one rises."""
    margins = torch.tensor([6.0, 8.0, 10.0, 12.0])
    x = torch.zeros(4, 10)
    x[:, 3] = margins
    y = ReverseSigmoid()(x).exp()[:, 3]
    assert (y < F.softmax(x, 1)[:, 3]).all()
    assert (y.diff() < 0).all()


@pytest.mark.parametrize("scale", [1e-3, 30.0, 1e4])
def test_extreme_logits_have_finite_outputs_and_gradients(scale: float) -> None:
    x = logits(scale=scale).requires_grad_()
    y = ReverseSigmoid()(x)
    (found,) = torch.autograd.grad(F.nll_loss(y, torch.arange(50) % 10), x)
    assert y.isfinite().all()
    assert found.isfinite().all()


def test_equal_logits_stay_equal() -> None:
    y = ReverseSigmoid()(torch.zeros(3, 4))
    torch.testing.assert_close(y.exp(), torch.full((3, 4), 0.25))
    assert torch.equal(Argmax()(torch.zeros(3, 4)), torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 3))


def test_argmax_tells_the_label_and_nothing_else() -> None:
    x = logits()
    y = Argmax()(x)
    assert torch.equal(y.argmax(1), x.argmax(1))
    assert torch.equal(y, y.bool().float())
    assert torch.equal(y.sum(1), torch.ones(50))
    assert torch.equal(Argmax()(y), y)
    assert torch.equal(Argmax()(2.0 * x + 1.0), y)


def test_soft_argmax_becomes_the_label_as_the_temperature_falls() -> None:
    g, x = Argmax(), logits()
    errors = [float((g.soft(x, temperature) - g(x)).abs().mean()) for temperature in (1.0, 0.3, 0.01)]
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 4


def test_rounded_logits_keep_the_label_where_the_margin_exceeds_the_step() -> None:
    x = logits()
    top = x.topk(2).values
    clear = top[:, 0] - top[:, 1] > 0.5
    assert torch.equal(Round(step=0.5)(x).argmax(1)[clear], x.argmax(1)[clear])
