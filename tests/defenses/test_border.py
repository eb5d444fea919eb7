"""Gradients of defenses and substitutes at images that are black and white: none is lost at the border."""

from functools import partial

import pytest
import torch
from torch import Tensor

from advbench.defended.clips import clipped_from_inside
from advbench.defended.substitutes import make_substitute
from tests.defenses.families import FAMILIES, SUBSTITUTES, called, streams

# Dropped activations are no pixels: one that is zero is never drawn, whichever way it could move.
CASES = [
    (name, which)
    for name, which in SUBSTITUTES
    if which not in ("learned", "finite-difference")
    and FAMILIES[name].takes != "logits"
    and name != "dropout-activations"
]


def shares(name: str, x: Tensor, which: str) -> Tensor:
    """The gradient of a weighted sum of the substitute's output at `x`."""
    substitute = make_substitute(which, FAMILIES[name].make(3))
    leaf = x.clone().requires_grad_()
    y = clipped_from_inside(partial(called, substitute, draws=streams(x)), leaf)
    weights = torch.linspace(0.5, 1.5, y.numel()).view(y.shape)
    return torch.autograd.grad((y * weights).sum(), leaf)[0]


@pytest.mark.parametrize(("name", "which"), CASES)
def test_a_pixel_at_0_or_1_has_a_gradient_where_it_has_one_just_inside(name: str, which: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, (2, 3, 8, 12), generator=generator).float()
    at_the_border, within = shares(name, x, which), shares(name, x.clamp(1e-4, 1.0 - 1e-4), which)
    lost = within[at_the_border == 0.0].abs().sum() / within.abs().sum()
    assert float(lost) < 0.01
