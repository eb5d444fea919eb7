#!/usr/bin/env bash
# scikit-image's denoise_bilateral is not centred: it moves the picture by more than a pixel.
#
# Versions: scikit-image 0.26.0, numpy 2.4.6, opencv-python-headless 5.0.0.93 (as the reference)
# Guess: the spatial weights of a bilateral filter are a Gaussian around the pixel itself, so that the filter of a
#   mirrored picture is the mirrored filter of the picture.
# Really: with a colour width so large that only the spatial weights count, one bright pixel at (7, 7) comes out
#   around (5.3, 8.1), and the pixel itself keeps next to no weight. OpenCV's filter leaves it at (7, 7).
# Seen:
#   skimage (5.28, 8.09), weight of the pixel itself 0.0000
#   OpenCV  (7.00, 7.00), weight of the pixel itself 0.1609
# Hurts: whoever takes it as a smoothing defense or as the reference of one. Labels survive a small shift, so clean
#   accuracy gives nothing away, and a differentiable stand-in with centred weights has gradients of other pixels.
# Source: skimage/restoration/_denoise.py, line 91: np.arange(-win_size // 2, win_size // 2 + 1). Python reads
#   -7 // 2 as -4, so the table has 8 rows for a window of 7, and the filter walks it in rows of 7.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet scikit-image==0.26.0 numpy==2.4.6 opencv-python-headless==5.0.0.93
"$work/env/bin/python" - <<'PYTHON'
import cv2
import numpy as np
from skimage.restoration import denoise_bilateral

picture = np.full((15, 15), 0.5)
picture[7, 7] = 0.55


def centre(name, filtered):
    weight = (filtered - 0.5) / 0.05
    row, column = (np.indices(weight.shape) * weight).sum((1, 2)) / weight.sum()
    print(f"{name:8}({row:.2f}, {column:.2f}), weight of the pixel itself {weight[7, 7]:.4f}")
    return row, column


moved = centre("skimage", denoise_bilateral(picture, sigma_color=10, sigma_spatial=1, mode="edge"))
still = centre(
    "OpenCV", cv2.bilateralFilter(picture.astype(np.float32), 7, 10, 1, borderType=cv2.BORDER_REPLICATE)
)
assert np.allclose(still, 7, atol=0.01), "OpenCV's filter moved"
assert np.allclose(moved, (5.28, 8.09), atol=0.01), "changed: look again, it may be centred now"
PYTHON
