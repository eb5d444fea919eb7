"""JPEG with a gradient: the codec where it rounds truly, and nothing at all where it does not round."""

import pytest
import torch
from torch import Tensor

from advbench.defenses import JPEG
from advbench.defenses.soft_jpeg import cubic_round, soft_jpeg
from tests.defenses.test_compress import SIZES, natural


def half_away_from_zero(u: Tensor) -> Tensor:
    """How libjpeg rounds."""
    return u.sign() * (u.abs() + 0.5).floor()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_with_true_rounding_the_differentiable_jpeg_is_the_codec(
    quality: int, c: int, size: tuple[int, int]
) -> None:
    """Up to the rounding of pixels and colours to 8 bits, which moves a coefficient at times."""
    x = natural(32, c, *size)
    found = soft_jpeg(x, quality, half_away_from_zero).clamp(0, 1)
    assert 255 * (found - JPEG(quality=quality)(x)).abs().mean() < (0.7 if c == 1 else 1.8)


def test_the_cubic_has_the_slope_of_the_paper() -> None:
    u = torch.tensor([-1.4, -0.5, 0.0, 0.1, 0.3, 2.45], requires_grad=True)
    s = cubic_round(u)
    (slope,) = torch.autograd.grad(s.sum(), u)
    distance = u.detach() - u.detach().round()
    torch.testing.assert_close(s.detach(), u.detach().round() + distance**3)
    torch.testing.assert_close(slope, 3 * distance**2)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 17)])
def test_without_rounding_a_grey_image_comes_back(size: tuple[int, int]) -> None:
    x = natural(2, 1, *size).double()
    torch.testing.assert_close(soft_jpeg(x, 50, lambda u: u), x, atol=1e-12, rtol=0.0)


def test_without_rounding_a_colour_image_of_one_colour_comes_back() -> None:
    x = torch.tensor([0.9, 0.2, 0.4], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 9, 11)
    torch.testing.assert_close(soft_jpeg(x, 50, lambda u: u), x, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize(("quality", "first"), [(1, 255), (25, 32), (50, 16), (75, 8), (100, 1)])
def test_coefficients_are_rounded_in_units_of_libjpegs_table(quality: int, first: int) -> None:
    """A grey block's first coefficient is eight times its level less 128, and the others are zero."""
    seen: list[Tensor] = []

    def note(u: Tensor) -> Tensor:
        seen.append(u.clone())
        return u

    soft_jpeg(torch.full((1, 1, 8, 8), 200.0 / 255.0, dtype=torch.float64), quality, note)
    assert float(seen[0][0, 0]) == pytest.approx(8 * (200 - 128) / first)
    assert seen[0][0, 1:].abs().max() < 1e-9


def test_an_images_result_and_type_are_its_own() -> None:
    x = natural(5, 3, 9, 9)
    whole = soft_jpeg(x, 60, cubic_round)
    assert torch.equal(soft_jpeg(x[3:4], 60, cubic_round), whole[3:4])
    assert soft_jpeg(x.half(), 60, cubic_round).dtype == torch.float16
    assert soft_jpeg(x[:0], 60, cubic_round).shape == (0, 3, 9, 9)
