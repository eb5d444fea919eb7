"""Smoothing against other implementations: SciPy, OpenCV, and plain loops."""

import itertools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
import torch

from advbench.defended.substitutes import average_pool
from advbench.defenses import Gaussian, Median, NonLocalMeans
from advbench.errors import SpecError
from tests.defenses.families import images

SIZES = [(1, 1), (2, 3), (8, 8), (13, 17)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_the_median_equals_scipys(kernel: int, size: tuple[int, int]) -> None:
    x = images(3, 2, *size)
    expected = scipy.ndimage.median_filter(x.numpy(), size=(1, 1, kernel, kernel), mode="reflect")
    np.testing.assert_array_equal(Median(kernel=kernel)(x).numpy(), expected)


def test_the_median_of_a_channels_last_batch_is_the_same() -> None:
    x = images(4, 3, 9, 9)
    assert torch.equal(Median()(x.to(memory_format=torch.channels_last)), Median()(x))


def test_an_edge_survives_the_median_and_a_speck_does_not() -> None:
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1.0
    speck = edge.clone()
    speck[..., 3, 1] = 1.0
    assert torch.equal(Median()(edge), edge)
    assert torch.equal(Median()(speck), edge)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_the_gaussian_equals_scipys(sigma: float, size: tuple[int, int]) -> None:
    x = images(2, 3, *size).double()
    expected = scipy.ndimage.gaussian_filter(x.numpy(), sigma=(0, 0, sigma, sigma))
    np.testing.assert_allclose(Gaussian(sigma=sigma)(x).numpy(), expected, atol=1e-14)
    close = Gaussian(sigma=sigma)(x.float())
    np.testing.assert_allclose(close.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_average_equals_scipys(size: tuple[int, int]) -> None:
    x = images(2, 1, *size).double()
    for window in (2, 3, 5):
        expected = scipy.ndimage.uniform_filter(x.numpy(), size=(1, 1, window, window), mode="reflect")
        np.testing.assert_allclose(average_pool(x, window).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("search", "patch", "strength"), [(3, 1, 0.2), (5, 3, 0.15), (7, 5, 0.3)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 3), (1, 8, 8), (3, 7, 9)])
def test_non_local_means_equal_plain_loops(
    shape: tuple[int, int, int], search: int, patch: int, strength: float
) -> None:
    x = images(1, *shape).double()
    g = NonLocalMeans(search=search, patch=patch, strength=strength)
    expected = looped_non_local_means(x[0].numpy(), search, patch, strength)
    np.testing.assert_allclose(g(x)[0].numpy(), expected, atol=1e-12)


def looped_non_local_means(
    x: npt.NDArray[np.float64], search: int, patch: int, strength: float
) -> npt.NDArray[np.float64]:
    c, h, w = x.shape
    far, near = search // 2, patch // 2
    z = np.pad(x, ((0, 0), (far + near, far + near), (far + near, far + near)), mode="reflect")
    result = np.zeros_like(x)
    for i, j in itertools.product(range(h), range(w)):
        total, weights = np.zeros(c), 0.0
        here = z[:, far + i : far + i + patch, far + j : far + j + patch]
        for a, b in itertools.product(range(search), range(search)):
            there = z[:, i + a : i + a + patch, j + b : j + b + patch]
            weight = np.exp(-((here - there) ** 2).mean() / strength**2)
            if weight >= 1e-3:
                total += weight * there[:, near, near]
                weights += weight
        result[:, i, j] = total / weights
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("search", "patch", "strength"), [(11, 3, 20), (5, 3, 40), (7, 5, 50)])
def test_non_local_means_equal_opencvs_to_half_a_grey_level(
    channels: int, search: int, patch: int, strength: int
) -> None:
    x = np.random.default_rng(0).integers(0, 128, (16, 16, channels)).astype(np.uint8)
    expected = cv2.fastNlMeansDenoising(
        x,
        h=[float(strength)],
        templateWindowSize=patch,
        searchWindowSize=search,
        normType=cv2.NORM_L2,
    ).reshape(x.shape)
    g = NonLocalMeans(search=search, patch=patch, strength=strength / 255)
    got = g(torch.from_numpy(x).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(got - x).max() > 10  # something was done
    assert np.abs(got - expected).max() < 0.6  # OpenCV rounds


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Median(kernel=1), r"kernel must lie in 2..15, got 1"),
        (lambda: Median(kernel=16), r"kernel must lie in 2..15, got 16"),
        (lambda: Gaussian(sigma=0.0), "sigma must lie in"),
        (lambda: Gaussian(sigma=float("nan")), "sigma must lie in"),
        (lambda: NonLocalMeans(search=4), "search must be odd and lie in 1..51, got 4"),
        (lambda: NonLocalMeans(patch=53), "patch must be odd and lie in 1..51, got 53"),
        (lambda: NonLocalMeans(strength=0.0), "strength must be positive"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
