#!/usr/bin/env bash
# In OpenCV 4 a shift of 0.015 pixels does nothing at all; in OpenCV 5 it shifts.
#
# Versions: opencv-python-headless 4.14.0.94 and 5.0.0.93, numpy 2.4.6
# Guess: warpAffine interpolates at the position that the matrix gives, in float32 at least to float32's accuracy.
# Really: up to 4.x positions are rounded to 1/32 of a pixel first, also for float images. 5.0 works at the exact place,
#   so that the same call gives other pixels.
# Seen (a float image of 0 to 255, shifted to the right):
#   4.14.0 by 0.015: pixels changed   0, worst error 3.7200
#   4.14.0 by 0.300: pixels changed 256, worst error 3.1000
#   5.0.0  by 0.015: pixels changed 256, worst error 0.0001
#   5.0.0  by 0.300: pixels changed 256, worst error 0.0000
# Hurts: attacks and defenses by small rotations and shifts. In 4.x finite differences are 0 or far off, and published
#   numbers of spatial robustness move with an upgrade.
# Source: 4.x: INTER_BITS = 5, INTER_TAB_SIZE = 32 in modules/imgproc/include/opencv2/imgproc.hpp (OpenCV's issues 25937
#   and 26361). 5.x: the new kernels for warpAffine, warpPerspective and remap (pull request 26348).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/show.py" <<'PYTHON'
import cv2
import numpy as np

image = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.float32)
for by in (0.015, 0.3):
    shifted = cv2.warpAffine(image, np.float32([[1, 0, by], [0, 1, 0]]), (16, 16))
    true = (1 - by) * image
    true[:, 1:] += by * image[:, :-1]
    changed, error = (shifted != image).sum(), np.abs(shifted - true).max()
    print(f"{cv2.__version__:6} by {by:.3f}: pixels changed {changed:3}, worst error {error:.4f}")
    assert (error > 1) == (cv2.__version__[0] == "4"), "changed"
    assert (changed == 0) == (cv2.__version__[0] == "4" and by == 0.015), "changed"
PYTHON
for version in 4.14.0.94 5.0.0.93; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet opencv-python-headless==$version numpy==2.4.6
    "$work/$version/bin/python" "$work/show.py"
done
