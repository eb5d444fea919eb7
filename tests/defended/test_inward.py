"""Where a value lies between two bounds, and clips whose derivative at them is that from inside."""

from typing import Any

import pytest
import torch

from advbench.defended.inward import Inward, inside


def test_half_precision_is_compared_as_it_is() -> None:
    x = torch.tensor([-0.001, 0.0, 1.0, 1.0078125], dtype=torch.bfloat16)
    assert inside(x, 0.0, 1.0).tolist() == [False, True, True, False]


INF, NAN = torch.inf, torch.nan
EPS = torch.finfo(torch.float32).eps


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "values", "expected"),
    [
        (0.0, 1.0, [-1e-3, 0.0, 0.5, 1.0, 1.001, NAN], [0, 1, 1, 1, 0, 0]),
        (0.0, 1.0, [-3 * EPS, -5 * EPS, 1 + 3 * EPS, 1 + 6 * EPS], [1, 0, 1, 0]),
        (-255.0, 255.0, [255 * (1 + 3 * EPS), 255 * (1 + 6 * EPS), -255 * (1 + 3 * EPS)], [1, 0, 1]),
        (1e-7, 1.0, [0.0, 5e-8, 1e-7, 1.0], [0, 0, 1, 1]),
        (-INF, INF, [-INF, 0.0, INF, NAN], [1, 1, 1, 0]),
        (0.0, INF, [-1e-9, 0.0, 1e30], [0, 1, 1]),
        (1.0, 0.0, [0.0, 0.5, 1.0], [0, 0, 0]),
        (0.5, 0.5, [0.4, 0.5, 0.6], [0, 0, 0]),
        (None, 1.0, [-INF, 1.0, 1.1], [1, 1, 0]),
        (0.0, None, [-0.1, 0.0, INF], [0, 1, 1]),
    ],
)
def test_numbers_and_tensors_bound_alike(
    low: float | None, high: float | None, values: list[float], expected: list[int], as_tensors: bool
) -> None:
    bounds: list[Any] = [low, high]
    if as_tensors:
        bounds = [None if each is None else torch.full((len(values),), each) for each in bounds]
    assert inside(torch.tensor(values), *bounds).int().tolist() == expected


def test_without_bounds_nothing_is_clipped_and_so_nothing_lies_inside() -> None:
    assert inside(torch.tensor([0.0, 1.0]), None, None).tolist() == [False, False]


def test_a_clip_in_place_changes_its_tensor_and_keeps_the_derivative_from_inside() -> None:
    x = torch.tensor([-0.5, 0.0, 1.0, 1.5], requires_grad=True)
    z = 2.0 * x
    with Inward():
        y = z.clamp_(0.0, 2.0)
    assert y is z
    assert z.tolist() == [0.0, 0.0, 2.0, 2.0]
    (slope,) = torch.autograd.grad(z.sum(), x)
    assert slope.tolist() == [0.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize("wanted", [False, True])
def test_where_no_gradient_is_wanted_torchs_own_clip_runs(wanted: bool) -> None:
    x = torch.tensor([0.0, 0.5], requires_grad=wanted)
    with Inward(), torch.set_grad_enabled(not wanted):
        y = torch.clamp(x, 0.0, 1.0)
    assert y.grad_fn is None


def test_the_greatest_entry_of_one_tensor_is_no_clip() -> None:
    x = torch.tensor([[0.0, 0.5], [3.0, 0.5]], requires_grad=True)
    with Inward():
        whole, by_row = x.max(), torch.max(x, 1)
    (slope,) = torch.autograd.grad(whole + by_row.values.sum(), x)
    assert slope.tolist() == [[0.0, 1.0], [2.0, 0.0]]
    assert by_row.indices.tolist() == [1, 0]
