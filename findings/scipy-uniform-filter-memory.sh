#!/usr/bin/env bash
# scipy.ndimage.uniform_filter: one NaN, or one huge value, spoils the rest of its line.
#
# Versions: scipy 1.17.1, numpy 2.4.6
# Guess: a mean over three neighbours is touched by a bad value in three places, as in OpenCV's blur or a convolution.
# Really: it keeps a running sum, adds the next value and takes off the last. NaN never leaves it, and after 1e20 the
#   small values before and after are gone: means of ones come out as 0 (in float32 images too).
# Seen (twelve ones, the fourth replaced, mean over 3):
#   nan  [1, 1, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan]
#   1e20 [1, 1, 3e+19, 3e+19, 3e+19, 0, 0, 0, 0, 0, 0, 0]
# Hurts: box-blur defenses and local means (SSIM's, too) on images with a stray NaN or an unclipped pixel: one such
#   pixel blanks all that lies to the right of it and below.
# Source: scipy/ndimage/src/ni_filters.c in scipy's repository, NI_UniformFilter1D: tmp += *l2++ - *l1++.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6
"$work/env/bin/python" - <<'PYTHON'
import numpy as np
from scipy.ndimage import convolve1d, uniform_filter1d

for bad in (np.nan, 1e20):
    line = np.ones(12, np.float32)
    line[3] = bad
    mean = uniform_filter1d(line, 3)
    print(f"{bad!s:4} [{', '.join(f'{value:.0e}' if value > 9 else f'{value:.0f}' for value in mean)}]".replace("1e+20 ", "1e20 "))
    after = mean[5:]
    assert np.isnan(after).all() if np.isnan(bad) else not after.any(), "changed: the rest of the line may recover now"
    assert np.allclose(convolve1d(line, np.full(3, 1 / 3))[5:], 1)
PYTHON
