"""Codecs against Pillow, and the differentiable JPEG against the codec."""

import io
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from advbench.defenses import JPEG, WebP
from advbench.defenses.soft_jpeg import soft_jpeg
from advbench.errors import DefenseError

SIZES = [(1, 1), (8, 8), (32, 32), (5, 5), (17, 33), (50, 2), (50, 4), (2, 50), (64, 64)]


def natural(*shape: int) -> Tensor:
    """Images with the spectrum of photographs more than that of noise, 8 bits a channel."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(*shape[:2], max(shape[2] // 4, 1), max(shape[3] // 4, 1), generator=generator)
    x = 0.7 * F.interpolate(coarse, shape[2:], mode="bilinear") + 0.15 * torch.rand(
        shape, generator=generator
    )
    return (x * 255).round() / 255


def pillow(x: Tensor, kind: str, quality: int) -> Tensor:
    """Each image saved and loaded by itself."""
    out = []
    for image in (x * 255).round().to(torch.uint8):
        pixels = image.permute(1, 2, 0).numpy() if len(image) == 3 else image[0].numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, quality=quality)
        loaded = np.asarray(Image.open(file).convert("RGB" if len(image) == 3 else "L"))
        out.append(torch.from_numpy(loaded.copy()).reshape(*x.shape[2:], -1).permute(2, 0, 1))
    return torch.stack(out).float() / 255


@pytest.mark.parametrize("size", [*SIZES, (224, 224)])
@pytest.mark.parametrize("c", [1, 3])
def test_jpeg_equals_pillow(c: int, size: tuple[int, int]) -> None:
    x = natural(2, c, *size)
    for quality in (1, 10, 75, 100):
        assert torch.equal(JPEG(quality=quality)(x), pillow(x, "JPEG", quality))


@pytest.mark.parametrize("c", [1, 3])
def test_jpeg_without_torchvisions_codec_is_the_same(c: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = natural(3, c, 17, 33)
    expected = JPEG(quality=60)(x)
    monkeypatch.setitem(sys.modules, "torchvision.io", None)
    assert torch.equal(JPEG(quality=60)(x), expected)


def test_jpeg_is_silent_where_warnings_are_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        JPEG()(natural(1, 3, 8, 8))


@pytest.mark.parametrize("c", [1, 3])
def test_webp_equals_pillow(c: int) -> None:
    x = natural(2, c, 32, 20)
    for quality in (0, 10, 75, 100):
        assert torch.equal(WebP(quality=quality)(x), pillow(x, "WEBP", quality))


def test_webp_without_its_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda _: False)
    with pytest.raises(DefenseError, match="needs a Pillow that was built with WebP: pip install"):
        WebP()(natural(1, 3, 8, 8))


@pytest.mark.parametrize("g", [JPEG(), WebP()], ids=["jpeg", "webp"])
def test_other_numbers_of_channels_are_grey_images(g: JPEG | WebP) -> None:
    x = natural(2, 5, 9, 9)
    expected = torch.cat([g(x[:, i : i + 1]) for i in range(5)], dim=1)
    assert torch.equal(g(x), expected)


def test_values_outside_the_box_are_clipped() -> None:
    x = natural(2, 3, 8, 8)
    assert torch.equal(JPEG()(3 * x - 1), JPEG()((3 * x - 1).clamp(0, 1)))


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_cubic_is_within_three_grey_levels_of_the_codec_and_soft_in_between(quality: int, c: int) -> None:
    g, x = JPEG(quality=quality), natural(8, c, 32, 32)
    error, cubic, soft = (255 * (each.clamp(0, 1) - g(x)).abs().mean() for each in (x, g.cubic(x), g.soft(x)))
    assert cubic < 3.0
    assert soft < 0.8 * error


def test_soft_becomes_rounding_as_the_temperature_falls() -> None:
    g, x = JPEG(quality=20), natural(8, 1, 32, 32)
    expected = soft_jpeg(x, 20, torch.round)
    errors = [float((g.soft(x, temperature) - expected).abs().mean()) for temperature in (1.0, 0.1, 0.01)]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 4


@pytest.mark.parametrize("c", [1, 3])
def test_a_gradient_points_where_the_codec_goes(c: int) -> None:
    """Along the substitute's gradient the codec's own output moves as it should, in most directions."""
    g, x = JPEG(quality=25), natural(16, c, 16, 16)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for substitute in (g.soft, g.cubic, g.smooth):
        point = x.clone().requires_grad_()
        (found,) = torch.autograd.grad((substitute(point) * weights).sum(), point)
        ahead, behind = (g(x + way * 0.05 * found.sign()) for way in (1.0, -1.0))
        gain = ((ahead - behind) * weights).sum((1, 2, 3))
        assert gain.gt(0).float().mean() > 0.9


def test_smooth_is_the_mean_of_nine_pixels() -> None:
    x = natural(1, 1, 5, 6)
    found = JPEG().smooth(x)
    torch.testing.assert_close(found[0, 0, 2, 3], x[0, 0, 1:4, 2:5].mean())
    corner = (4 * x[0, 0, 0, 0] + 2 * x[0, 0, 0, 1] + 2 * x[0, 0, 1, 0] + x[0, 0, 1, 1]) / 9
    torch.testing.assert_close(found[0, 0, 0, 0], corner)


@pytest.mark.slow
def test_a_batch_of_256_cifar_images_takes_less_than_30_milliseconds() -> None:
    x, threads = natural(256, 3, 32, 32), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(10):
            start = time.process_time()  # other programs on the machine do not count
            JPEG()(x)
            times.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(times) < 0.03
