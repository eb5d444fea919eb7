"""Corruptions against other libraries' numbers, and noise in BatchNorm's statistics by its formula."""

import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from advbench.draws.draws import Draws
from advbench.training.corruptions import CORRUPTIONS, SEVERITIES, corrupted


def photographs(n: int = 6, channels: int = 3, side: int = 32) -> Tensor:
    """Smooth random images with 8 bits."""
    x = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return (nn.functional.interpolate(x, side, mode="bicubic").clamp(0, 1) * 255).round() / 255


DRAWS = Draws(0, torch.arange(6))


@pytest.mark.parametrize("shape", [(1, 8), (3, 32), (3, 96)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_images_are_images_and_worse_with_every_severity(name: str, shape: tuple[int, int]) -> None:
    x = photographs(6, *shape)
    found = [corrupted(x, name, severity, DRAWS) for severity in range(1, SEVERITIES + 1)]
    distances = [float((each - x).abs().mean()) for each in found]
    assert distances == sorted(distances)
    assert distances[0] > 0
    for each in found:
        assert each.shape == x.shape
        assert each.dtype == x.dtype
        torch.testing.assert_close(each * 255, (each * 255).round())
        assert float(each.min()) >= 0
        assert float(each.max()) <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_does_not_depend_on_the_batch(name: str) -> None:
    x = photographs()
    whole = corrupted(x, name, 3, DRAWS)
    alone = corrupted(x[4:5], name, 3, Draws(0, torch.tensor([4])))
    torch.testing.assert_close(alone[0], whole[4], rtol=0, atol=1.01 / 255)


def test_gaussian_noise_has_its_deviation() -> None:
    grey = torch.full((40, 3, 32, 32), 0.5)
    noise = corrupted(grey, "gaussian-noise", 5, Draws(0, torch.arange(40))) - 0.5
    assert float(noise.std()) == pytest.approx(0.10, rel=0.02)


def test_impulse_noise_is_half_salt_and_half_pepper() -> None:
    grey = torch.full((40, 3, 32, 32), 0.5)
    found = corrupted(grey, "impulse-noise", 5, Draws(0, torch.arange(40)))
    for value in (0.0, 1.0):
        assert float((found == value).float().mean()) == pytest.approx(0.035, rel=0.05)


def test_gaussian_blur_is_that_of_scipy_away_from_the_border() -> None:
    x = photographs()
    expected = ndimage.gaussian_filter(x.numpy(), sigma=(0, 0, 1.0, 1.0), truncate=4.0)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    found = corrupted(x, "gaussian-blur", 5, DRAWS)
    torch.testing.assert_close(found[inner], torch.tensor(expected)[inner], rtol=0, atol=1.01 / 255)


def test_brightness_is_that_of_hsv() -> None:
    x = photographs(1, 3, 8)
    found = corrupted(x, "brightness", 4, Draws(0, torch.arange(1)))[0].flatten(1).T
    for pixel, brighter in zip(x[0].flatten(1).T.tolist(), found.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        assert brighter == pytest.approx(colorsys.hsv_to_rgb(h, s, min(1.0, v + 0.2)), abs=1.01 / 255)


def test_black_becomes_grey() -> None:
    assert (
        float(corrupted(torch.zeros(1, 3, 8, 8), "brightness", 5, DRAWS.take(torch.tensor([0]))).min()) > 0.29
    )


def test_jpeg_is_that_of_pillow() -> None:
    x = photographs()
    found = corrupted(x, "jpeg", 5, DRAWS)
    for image, spoilt in zip(x, found, strict=True):
        pixels, file = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=40)
        expected = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
        assert float((spoilt - expected).abs().mean()) < 2 / 255
