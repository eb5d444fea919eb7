"""A layer whose statistics are off is its formula, in every kind of BatchNorm."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from advbench.errors import ApartError
from advbench.training.batch_norm import (
    Offsets,
    forwards_replaced,
    offset_batch_norm,
    shared_forwards,
    training_layers,
)
from tests.training.formula import EPSILON, LAYERS, assert_same, by_formula, layer_of


@pytest.mark.parametrize("groups", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(("kind", "settings"), LAYERS)
def test_a_layer_with_offsets_is_its_formula(
    kind: type[nn.Module], settings: dict[str, Any], groups: int
) -> None:
    layer, x = layer_of(kind, **settings)
    reference = copy.deepcopy(layer)
    d_mean, d_var = (EPSILON * torch.randn(4, dtype=torch.float64).sign() for _ in range(2))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    upstream = torch.randn_like(x)
    found = offset_batch_norm(layer, Offsets(d_mean, d_var), groups, False, inputs[0])
    expected = by_formula(reference, inputs[1], d_mean, d_var, groups)
    torch.testing.assert_close(found, expected)
    torch.autograd.backward(found, upstream)
    torch.autograd.backward(expected, upstream)
    assert_same(inputs[0].grad, inputs[1].grad)
    for one, other in zip(layer.parameters(), reference.parameters(), strict=True):
        assert_same(one.grad, other.grad)
    for one, other in zip(layer.buffers(), reference.buffers(), strict=True):
        assert torch.equal(one, other), "running statistics are left as they were"


def test_a_batch_of_vectors_is_normalised_too() -> None:
    layer, _ = layer_of(nn.BatchNorm1d)
    x = torch.randn(12, 4, dtype=torch.float64)
    d = torch.full((4,), 0.1, dtype=torch.float64)
    found = offset_batch_norm(layer, Offsets(d, -d), 3, False, x)
    torch.testing.assert_close(found, by_formula(layer, x, d, -d, 3))


def test_what_is_known_to_be_zero_is_the_plain_layer() -> None:
    layer, x = layer_of(nn.BatchNorm2d)
    zero = torch.zeros(4, dtype=torch.float64)
    found = [offset_batch_norm(layer, Offsets(zero, zero, zero=each), 0, False, x) for each in (True, False)]
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], layer(x))


@pytest.mark.parametrize(
    ("shape", "groups", "said"),
    [
        ((12, 4, 3, 3), 5, "5 groups do not divide a batch of 12 images"),
        ((1, 4, 1, 1), 0, "more than one value a channel"),
        ((12, 4, 1, 1), 12, "more than one value a channel"),
    ],
)
def test_groups_that_leave_nothing_to_normalise_by_are_refused(
    shape: tuple[int, ...], groups: int, said: str
) -> None:
    layer, _ = layer_of(nn.BatchNorm2d)
    zero = torch.zeros(4, dtype=torch.float64)
    before = layer.running_mean.clone()
    with pytest.raises(ApartError, match=said):
        offset_batch_norm(layer, Offsets(zero, zero), groups, True, torch.ones(shape).double())
    assert torch.equal(layer.running_mean, before)


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_running_statistics_follow_the_batch_as_torchs_do(momentum: float | None) -> None:
    layer, x = layer_of(nn.BatchNorm2d, momentum=momentum)
    plain = copy.deepcopy(layer)
    zero = torch.zeros(4, dtype=torch.float64)
    for scale in (1.0, 3.0):
        offset_batch_norm(layer, Offsets(zero + 0.1, zero), 0, True, scale * x)
        plain(scale * x)
    for one, other in zip(layer.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_forwards_are_replaced_for_a_while_and_nothing_stays() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval(), nn.Linear(3, 2))
    (layer,) = training_layers(model)
    assert layer is model[0]
    assert shared_forwards(model) == {}, "no layer is shared"
    x = torch.randn(4, 3)
    with forwards_replaced({layer: lambda x: x + 1}):
        assert torch.equal(layer(x), x + 1)
        with forwards_replaced({layer: lambda x: x + 2}):
            assert torch.equal(layer(x), x + 2)
        assert torch.equal(layer(x), x + 1)
    assert "forward" not in vars(layer)
    with pytest.raises(TypeError), forwards_replaced({layer: lambda: x}):
        layer(x)
    assert "forward" not in vars(layer)
