"""A denoiser as `purify` takes it: found by a word or an object, and held to what it promises."""

import pytest
import torch
from torch import Tensor, nn

from advbench.defenses.denoiser import BUNDLED, find_denoiser
from advbench.errors import DefenseError, SpecError


class Halving(nn.Module):
    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x * self.factor


def test_the_bundled_one_keeps_shape_and_type() -> None:
    x = torch.rand(2, 1, 8, 8)
    denoised = find_denoiser(BUNDLED)(x, 0.2)
    assert denoised.shape == x.shape
    assert denoised.dtype == x.dtype


def test_a_module_is_copied_and_told_by_its_weights() -> None:
    own = Halving()
    denoiser, other = find_denoiser(own), find_denoiser(Halving(0.25))
    own.factor.data.fill_(9.0)
    assert torch.equal(denoiser(torch.ones(1, 1, 2, 2), 0.1), torch.full((1, 1, 2, 2), 0.5))
    assert denoiser.digest != other.digest
    assert denoiser.digest == find_denoiser(Halving()).digest


def test_another_shape_is_refused_with_both() -> None:
    with pytest.raises(DefenseError, match=r"\(1, 1, 2, 2\), got \(1, 2\)"):
        find_denoiser(lambda x, sigma: x.flatten(2).sum(2).expand(1, 2))(torch.ones(1, 1, 2, 2), 0.1)


def test_a_word_that_names_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"denoiser must be file\.py:net"):
        find_denoiser("bm3d")
