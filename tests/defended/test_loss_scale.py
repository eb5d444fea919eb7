"""Gradients through float16: those of float64, where a plain backward pass has zeros."""

import pytest
import torch
from torch import Tensor

from advbench.defended.loss_scale import scaled_gradient

W = torch.tensor([[1.0, -2.0], [0.5, 0.25]])


def gradients(factor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of `factor * sum(W x)`, through float16: plain, scaled, and exactly."""
    x = torch.tensor([[0.5, 0.25], [1.0, 0.5]]).view(2, 2, 1, 1).requires_grad_()
    logits = (x.flatten(1).half() @ W.half().T).float()
    losses = factor * logits.sum(1)
    (plain,) = torch.autograd.grad(losses.sum(), x, retain_graph=True)
    scaled = scaled_gradient(losses, logits, x)
    assert scaled is not None
    return plain, scaled, (factor * W.sum(0)).expand(2, 2).reshape_as(x)


@pytest.mark.parametrize("factor", [1e-12, 1e-30, 1.0, 1e6])
def test_no_size_of_the_loss_changes_where_the_gradient_leads(factor: float) -> None:
    plain, scaled, exact = gradients(factor)
    torch.testing.assert_close(scaled, exact, rtol=2e-3, atol=0.0)
    assert (plain == exact).all() or factor != 1.0
    assert bool((plain == 0.0).all()) == (factor < 1e-9)
    assert bool(plain.isfinite().all()) == (factor < 1e5)


def test_a_gradient_that_vanishes_deeper_inside_is_raised_further() -> None:
    x = torch.ones(2, 1, 1, 1).requires_grad_()
    logits = x.flatten(1).half() * 2.0**-14 * 2.0**-8
    wide = logits.float() * 2.0**22
    grad = scaled_gradient(wide.sum(1) * 2.0**-22, wide, x)
    assert grad is not None
    assert torch.equal(grad, torch.full_like(x, 2.0**-22))


def test_no_gradient_stays_none() -> None:
    x = torch.ones(2, 1, 1, 1).requires_grad_()
    logits = x.flatten(1) * 0.0
    zero = scaled_gradient(logits.sum(1), logits, x)
    assert zero is not None
    assert not zero.any()
    cut = torch.ones(2, 3).requires_grad_()
    assert scaled_gradient(cut.sum(1), cut, x) is None
