"""Random resizing, cropping and noise against plain loops and torchvision."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.functional import resized_crop

from advbench.defenses import CropEnsemble, Noise, ResizePad
from advbench.errors import SpecError
from tests.defenses.families import images, streams


@pytest.mark.parametrize("side", [1, 8, 28, 32, 299])
def test_resizing_and_padding_equal_plain_loops(side: int) -> None:
    x = 0.1 + 0.8 * images(12, 1, side, side)
    draws = streams(x)
    y = ResizePad()(x, draws)
    whole = {1: 1, 8: 9, 28: 31, 32: 35, 299: 331}[side]
    assert y.shape == (12, 1, whole, whole)
    grown, top, left = (draws.stream(name).uniform(()).tolist() for name in ("size", "top", "left"))
    for i, image in enumerate(x):
        size = side + int(grown[i] * max(whole - side, 1))
        place = [int(each[i] * (whole - size + 1)) for each in (top, left)]
        # `nearest` computes places in float32 and misses some; `nearest-exact` asks for another pixel.
        source = torch.arange(size) * side // size
        resized = image[:, source][:, :, source]
        after = [whole - size - each for each in place]
        assert torch.equal(y[i], F.pad(resized, (place[1], after[1], place[0], after[0])))


def test_resizing_by_the_nearest_pixel_is_torchs_up_to_its_rounding() -> None:
    for side, size in ((8, 9), (28, 30), (32, 33), (32, 34), (299, 317)):
        x = torch.arange(side, dtype=torch.float64).view(1, 1, 1, side)
        source = torch.arange(size) * side // size
        theirs = F.interpolate(x, size=(1, size), mode="nearest").flatten().long()
        assert (theirs != source).float().mean() < 0.02


def test_all_sizes_and_places_are_drawn() -> None:
    x = torch.ones(4000, 1, 28, 28)
    y = ResizePad()(x, streams(x))[:, 0]
    size = y.amax(2).sum(1)
    top = (y.amax(2) > 0).float().argmax(1)
    assert set(size.tolist()) == {28.0, 29.0, 30.0}
    for each, free in ((28, 3), (29, 2), (30, 1)):
        assert set(top[size == each].tolist()) == set(range(free + 1))
        count = torch.bincount(top[size == each]).float()
        assert count.min() > 0.7 * count.mean()
    assert (size == 29).float().mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_resize_pad_can_keep_the_size() -> None:
    x = images(2, 3, 32, 32)
    back = F.interpolate(ResizePad()(x, streams(x)), size=(32, 32), mode="bilinear")
    torch.testing.assert_close(ResizePad(keep=True)(x, streams(x)), back)


@pytest.mark.parametrize(
    ("side", "size", "crop"), [(224, 90 / 224, 90), (32, 0.75, 24), (8, 0.5, 4), (1, 0.1, 1)]
)
def test_a_crop_is_torchvisions(side: int, size: float, crop: int) -> None:
    x = images(5, 3, side, side)
    draws = streams(x)
    y = CropEnsemble(size=size)(x, draws)
    top, left = ((draws.stream(name).uniform(()) * (side - crop + 1)).long() for name in ("top", "left"))
    for i, image in enumerate(x):
        box = [int(top[i]), int(left[i]), crop, crop]
        torch.testing.assert_close(y[i], resized_crop(image, *box, size=[side, side], antialias=False))


def test_the_whole_image_as_a_crop_is_the_image() -> None:
    x = images(2, 3, 9, 9)
    torch.testing.assert_close(CropEnsemble(size=1.0)(x, streams(x)), x)


@pytest.mark.parametrize("kind", ["gaussian", "uniform"])
def test_noise_has_its_deviation_and_is_not_clipped(kind: Any) -> None:
    x = torch.full((50, 3, 16, 16), 0.9)
    noise = Noise(sigma=0.2, kind=kind)(x, streams(x)) - x
    assert noise.mean().item() == pytest.approx(0.0, abs=0.005)
    assert noise.std().item() == pytest.approx(0.2, abs=0.005)
    assert noise.max() > 0.2
    if kind == "uniform":
        assert noise.abs().max() <= 0.2 * 3**0.5 + 1e-6
    correlation = torch.corrcoef(noise.flatten(1))[0, 1:]
    assert correlation.abs().max() < 0.15


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResizePad(ratio=0.9), r"ratio must lie in \[1, 4\], got 0.9"),
        (lambda: ResizePad(ratio=5.0), r"ratio must lie in \[1, 4\], got 5"),
        (lambda: CropEnsemble(size=0.0), "size must lie in"),
        (lambda: CropEnsemble(size=1.5), "size must lie in"),
        (lambda: Noise(sigma=0.0), "sigma must be positive"),
        (lambda: Noise(kind="laplace"), "kind must be one of gaussian, uniform, got 'laplace'"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
