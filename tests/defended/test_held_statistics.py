"""Statistics of a batch as constants to a gradient."""

import torch
from torch import nn

from advbench.defended.held_statistics import statistics_held


def test_values_are_those_of_the_batch_and_the_gradient_is_of_a_fixed_scale() -> None:
    network, x = nn.BatchNorm2d(3), torch.randn(4, 3, 2, 2).requires_grad_()
    with statistics_held(network) as held:
        y = held(x)
    assert torch.allclose(y, nn.BatchNorm2d(3)(x), atol=1e-5)
    (grad,) = torch.autograd.grad(y.sum(), x)  # zero, if the statistics followed the pixels
    deviation = (x.detach().var((0, 2, 3), unbiased=False) + network.eps).sqrt().view(1, 3, 1, 1)
    assert torch.allclose(grad, (1.0 / deviation).expand_as(grad), atol=1e-5)


def test_what_was_learnt_is_as_it_was() -> None:
    network, x = nn.BatchNorm2d(3).eval(), torch.randn(4, 3, 2, 2)
    with statistics_held(network) as held:
        assert torch.equal(held(x), network(x))
