"""What lies beyond an image's border: mirrored as NumPy does, for images of any size."""

import numpy as np
import pytest
import torch

from advbench.defended.borders import extended, mirrored
from tests.defenses.families import images
from tests.defenses.test_smoothing import SIZES


@pytest.mark.parametrize("size", SIZES)
def test_mirrored_borders_equal_numpys(size: tuple[int, int]) -> None:
    x = images(2, 1, *size)
    for twice, mode in ((True, "symmetric"), (False, "reflect")):
        expected = np.pad(x.numpy(), ((0, 0), (0, 0), (4, 7), (4, 7)), mode=mode)  # type: ignore[call-overload]  # both are modes
        np.testing.assert_array_equal(extended(x, 4, 7, twice=twice).numpy(), expected)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (0, 2), (20, 33)])
def test_a_line_is_mirrored_as_often_as_it_takes(size: int, before: int, after: int, twice: bool) -> None:
    expected = np.pad(np.arange(size), (before, after), mode="symmetric" if twice else "reflect")
    assert mirrored(size, before, after, twice=twice).tolist() == expected.tolist()


def test_the_gradient_of_a_pixel_counts_how_often_it_is_seen() -> None:
    x = torch.rand(1, 1, 3, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(extended(x, 1, 1, twice=False).sum(), x)
    times = torch.tensor([1.0, 3.0, 1.0])
    assert torch.equal(slope[0, 0], times[:, None] * times)
