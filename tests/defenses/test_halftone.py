"""Error diffusion against a plain loop, and against Pillow's."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from advbench.defenses import Halftone


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def diffused(image: Tensor, levels: int) -> Tensor:
    """Floyd and Steinberg's algorithm as they wrote it: pixel after pixel, errors handed on at once."""
    h, w = image.shape
    u, steps = image.clone(), levels - 1
    for i in range(h):
        for j in range(w):
            level = (u[i, j] * steps).round().clamp(0, steps) / steps
            error, u[i, j] = u[i, j] - level, level
            for down, right, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if i + down < h and 0 <= j + right < w:
                    u[i + down, j + right] += error * (share / 16)
    return u


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (8, 8), (7, 12), (13, 5)])
@pytest.mark.parametrize("levels", [2, 5])
def test_waves_give_the_bits_of_the_plain_loop(levels: int, size: tuple[int, int]) -> None:
    x = images(2, 3, *size)
    expected = torch.stack([diffused(each, levels) for each in x.flatten(0, 1)]).view_as(x)
    assert torch.equal(Halftone(levels=levels)(x), expected)


def test_two_levels_are_nearly_those_of_pillow() -> None:
    """Pillow computes in whole numbers of 1/16 grey level and clips, so that single pixels may differ."""
    smooth = F.interpolate(images(1, 1, 4, 4), (64, 64), mode="bicubic").clamp(0, 1)
    x = (smooth * 255).round() / 255
    reference = Image.fromarray((x[0, 0] * 255).to(torch.uint8).numpy()).convert("1")
    expected = torch.from_numpy(np.asarray(reference, dtype=np.float32))
    found = Halftone()(x)[0, 0]
    assert (found == expected).float().mean() > 0.62  # 0.51 with the image moved by one line
    assert F.avg_pool2d((found - expected)[None], 8).abs().max() < 0.07  # 4 of 64 pixels


@pytest.mark.parametrize("levels", [2, 3, 16])
def test_what_has_the_levels_already_stays(levels: int) -> None:
    x = (images(2, 3, 8, 8) * (levels - 1)).round() / (levels - 1)
    assert torch.equal(Halftone(levels=levels)(x), x)


def test_local_means_are_kept_which_rounding_does_not() -> None:
    x = torch.full((1, 1, 64, 64), 0.3)
    assert abs(float(Halftone()(x).mean()) - 0.3) < 0.02
    assert float(x.round().mean()) == 0.0


def test_smooth_is_near_the_local_mean_of_the_halftone() -> None:
    x = F.interpolate(images(4, 1, 4, 4), (32, 32), mode="bilinear")
    g = Halftone()
    difference = F.avg_pool2d(g.smooth(x) - g(x), 8)
    assert difference.abs().mean() < 0.03
