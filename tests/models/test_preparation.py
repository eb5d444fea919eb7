"""A library's resize and crop, with torchvision's in its place."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from advbench.errors import ModelError
from advbench.models.preparation import Flipped, Preparation, Sized, as_bytes, in_colour, picture_of, sized
from advbench.models.registry import PIXELS
from tests.library_models import picture


def preparation(mode: v2.InterpolationMode, side: int = 32) -> Preparation:
    steps: Any = v2.Compose([v2.Resize(side, mode), v2.CenterCrop(side)])

    def by_pillow(x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(steps(picture_of(x)))).permute(2, 0, 1)

    return Preparation(
        config={},
        defaults=(),
        normalization=PIXELS,
        flipped=False,
        size_bytes=by_pillow,
        size=steps,
        whole=by_pillow,
    )


BICUBIC, BILINEAR = v2.InterpolationMode.BICUBIC, v2.InterpolationMode.BILINEAR


def pixels(seed: int = 0) -> Tensor:
    return torch.from_numpy(np.array(picture(seed=seed))).permute(2, 0, 1).float() / 255


def test_an_8_bit_picture_is_resized_as_pillow_does_to_the_bit() -> None:
    found = sized(preparation(BICUBIC), pixels())
    own = v2.Compose([v2.Resize(32, BICUBIC), v2.CenterCrop(32)])(picture())
    assert torch.equal(
        (found * 255).round().to(torch.uint8), torch.from_numpy(np.array(own)).permute(2, 0, 1)
    )


@pytest.mark.parametrize("mode", [BICUBIC, BILINEAR])
@pytest.mark.parametrize("seed", range(4))
def test_in_floating_point_it_differs_by_the_rounding_of_two_passes(
    mode: v2.InterpolationMode, seed: int
) -> None:
    made, x = preparation(mode), pixels(seed)
    exact = Sized(nn.Identity(), made)(x[None])[0]
    assert float((exact - sized(made, x)).abs().max()) * 255 < 1.5


def test_without_the_clip_between_passes_bicubic_would_be_far_off() -> None:
    made, x = preparation(BICUBIC), pixels()
    plain = made.size(x[None])[0].clamp(0.0, 1.0)
    assert float((plain - sized(made, x)).abs().max()) * 255 > 4


def test_its_derivative_is_that_of_finite_differences() -> None:
    weights = torch.rand(3, 8, 8, dtype=torch.float64)
    made = Sized(nn.Identity(), preparation(BICUBIC, side=8))
    x = 0.3 + 0.4 * torch.rand(1, 3, 20, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: (made(x) * weights).sum(), x.requires_grad_())


def test_a_picture_of_other_levels_is_resized_in_floating_point() -> None:
    made, x = preparation(BILINEAR), pixels() * 0.99
    assert as_bytes(x) is None
    assert torch.equal(sized(made, x), Sized(nn.Identity(), made)(x[None])[0])


def test_a_grey_picture_gets_three_equal_channels() -> None:
    assert in_colour(torch.rand(2, 1, 4, 5)).shape == (2, 3, 4, 5)
    grey = sized(preparation(BILINEAR), pixels()[:1])
    assert torch.equal(grey[0], grey[2])


def test_a_network_that_takes_blue_first_gets_it() -> None:
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(Flipped(nn.Identity())(x), x.flip(1))


def refused(size: Any) -> str:
    made = preparation(BILINEAR)
    broken = Preparation(**{**vars(made), "size": size})
    with pytest.raises(ModelError) as error:
        Sized(nn.Identity(), broken)(torch.rand(1, 3, 4, 4, requires_grad=True))
    return str(error.value)


def test_what_cannot_be_differentiated_is_told_before_the_attack() -> None:
    assert "passes no gradient: attack behind it, --space input" in refused(lambda x: x.detach())
    assert "does not work on tensors (ZeroDivisionError: division by zero)" in refused(lambda x: 1 / 0)
