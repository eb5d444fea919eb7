"""APART against its formula, re-derived with plain tensor operations in float64."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench import APART
from advbench.training.batch_norm import Offsets, offset_batch_norm
from tests.small import double_network
from tests.training.formula import EPSILON, LAYERS, assert_same, by_formula, layer_of


@pytest.mark.parametrize(("kind", "settings"), LAYERS)
def test_the_proxy_pass_is_the_plain_layer_bit_for_bit(
    kind: type[nn.Module], settings: dict[str, Any]
) -> None:
    layer, x = layer_of(kind, **settings)
    plain = copy.deepcopy(layer)
    apart = APART(nn.Sequential(layer), EPSILON)
    upstream = torch.randn_like(x)
    for _ in range(3):
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        with apart.to_proxy():
            found = layer(inputs[0])
            torch.autograd.backward(found, upstream)
        expected = plain(inputs[1])
        torch.autograd.backward(expected, upstream)
        assert torch.equal(found, expected)
        assert_same(inputs[0].grad, inputs[1].grad)
        for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
            assert_same(one.grad, other.grad)
        for one, other in zip(layer.buffers(), plain.buffers(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("groups", [0, 2])
def test_the_adver_pass_of_a_network_is_the_formula_with_the_sign_of_the_proxy_gradient(groups: int) -> None:
    model, x, y = double_network()
    apart = APART(model, EPSILON, groups)
    with apart.to_proxy():
        torch.autograd.backward(F.cross_entropy(model(x), y))
    offsets = {
        name: (EPSILON * grad.mean.sign(), EPSILON * grad.var.sign())
        for name, grad in apart.gradients().items()
    }
    assert len(offsets) == 2
    reference = copy.deepcopy(model)
    model.zero_grad()
    with apart.to_adver():
        found = model(x[:8])
        torch.autograd.backward(F.cross_entropy(found, y[:8]))

    def follow(layer: nn.Module, name: str) -> None:
        layer.forward = lambda x: by_formula(layer, x, *offsets[name], groups)

    for name in offsets:
        follow(reference.get_submodule(name), name)
    reference.zero_grad()
    expected = reference(x[:8])
    torch.autograd.backward(F.cross_entropy(expected, y[:8]))
    torch.testing.assert_close(found, expected)
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        assert_same(one.grad, other.grad)


def test_offset_gradients_are_finite_differences() -> None:
    """The proxy pass's gradients against central differences of the loss in every offset of every layer."""
    model, x, y = double_network()
    apart = APART(model, EPSILON)
    with apart.to_proxy():
        torch.autograd.backward(F.cross_entropy(model(x), y))
    step = 1e-6
    for name, grad in apart.gradients().items():
        layer: Any = model.get_submodule(name)
        for kind in ("mean", "var"):
            for channel in range(layer.num_features):
                losses = []
                for sign in (1, -1):
                    zero = torch.zeros(layer.num_features, dtype=torch.float64)
                    moved = zero.clone()
                    moved[channel] = sign * step
                    offsets = Offsets(moved, zero) if kind == "mean" else Offsets(zero, moved)
                    layer.forward = lambda x, d=offsets, bn=layer: offset_batch_norm(bn, d, 0, False, x)
                    losses.append(F.cross_entropy(model(x), y))
                    del layer.forward
                difference = (losses[0] - losses[1]) / (2 * step)
                torch.testing.assert_close(getattr(grad, kind)[channel], difference, rtol=1e-5, atol=1e-8)


def test_running_statistics_after_both_passes_are_those_after_the_proxy_pass_alone() -> None:
    model, x, y = double_network()
    other = copy.deepcopy(model)
    apart, alone = APART(model, EPSILON, 2), APART(other, EPSILON, 2)
    for _ in range(3):
        with apart.to_proxy():
            torch.autograd.backward(F.cross_entropy(model(x), y))
        with apart.to_adver():
            torch.autograd.backward(F.cross_entropy(model(x[:6]), y[:6]))
        with alone.to_proxy():
            torch.autograd.backward(F.cross_entropy(other(x), y))
    for one, expected in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, expected)


def test_the_gradients_of_both_passes_add_up() -> None:
    model, x, y = double_network()
    apart = APART(model, EPSILON)
    parts = []
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.6, 0.4)):
        model.zero_grad()
        with apart.to_proxy():
            loss = F.cross_entropy(model(x), y)
            torch.autograd.backward((weights[0] * loss), retain_graph=True)
            if weights[0] == 0.0:  # a weight of 0 would leave no gradient to climb
                torch.autograd.backward(loss)
                model.zero_grad()
        with apart.to_adver():
            torch.autograd.backward(weights[1] * F.cross_entropy(model(x), y))
        parts.append([grad.clone() for each in model.parameters() if (grad := each.grad) is not None])
    for first, second, both in zip(*parts, strict=True):
        torch.testing.assert_close(0.6 * first + 0.4 * second, both)


def test_a_gradient_of_zero_moves_nothing() -> None:
    """sign(0) = 0: where the loss does not depend on a layer, its statistics stay."""
    model, x, _ = double_network()
    apart = APART(model, EPSILON)
    with apart.to_proxy():
        torch.autograd.backward((0.0 * model(x)).sum())
    with apart.to_adver():
        found = model(x)
    assert torch.equal(found, model(x))


def test_a_layer_that_is_used_twice_adds_the_gradients_of_both_uses() -> None:
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(3).double()
    x = torch.randn(8, 3, dtype=torch.float64) + 1
    apart = APART(nn.ModuleList([layer]), EPSILON)

    def loss_of(d_mean: Tensor) -> Tensor:
        zero = torch.zeros(3, dtype=torch.float64)
        hidden = offset_batch_norm(layer, Offsets(d_mean, zero), 0, False, x)
        again = offset_batch_norm(layer, Offsets(d_mean, zero), 0, False, hidden + 2 * x)
        return again.pow(3).sum()

    with apart.to_proxy():
        torch.autograd.backward(layer(layer(x) + 2 * x).pow(3).sum())
    grad = apart.gradients()["0"].mean
    step = torch.eye(3, dtype=torch.float64) * 1e-6
    found = torch.stack([(loss_of(each) - loss_of(-each)) / 2e-6 for each in step])
    torch.testing.assert_close(grad, found, rtol=1e-5, atol=1e-6)
