"""Pictures are bytes of what is in the box, and perturbations as strong as they can be shown."""

import numpy as np
import pytest

from advbench.reports.pictures import amplified, to_pixels


def test_pixels_are_bytes_of_what_is_in_the_box() -> None:
    image = np.array([[[0.0, 0.5, 1.0, 1.7, np.nan]]])
    assert to_pixels(image)[0].tolist() == [[each] * 3 for each in (0, 128, 255, 255, 0)]
    assert to_pixels(np.zeros((3, 2, 4))).shape == (2, 4, 3)


def test_a_perturbation_is_shown_as_strong_as_it_can_be() -> None:
    delta = np.array([[[0.1, -0.1, 0.0, 0.05]]])
    pixels, factor = amplified(delta)
    assert factor == pytest.approx(5)
    assert pixels[0, :, 0].tolist() == [255, 0, 128, 191]
    assert amplified(np.zeros((1, 2, 2)))[1] == 1.0
