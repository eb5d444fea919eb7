#!/usr/bin/env bash
# ART's FeatureSqueezing gives float64 under NumPy 2, and no PyTorch network takes that.
#
# Versions: adversarial-robustness-toolbox 1.20.1 with numpy 1.26.4 and numpy 2.3.5
# Guess: a defense hands on the dtype that it was given, as ART's JPEG, smoothing and noise do.
# Really: its largest level is np.rint(2**bits - 1), a float64 scalar. NumPy 1 let such scalars give way to an array of
#   float32; NumPy 2 does not.
# Seen (float32 given):
#   numpy 1.26.4 gives float32
#   numpy 2.3.5 gives float64
# Hurts: whoever evaluates ART's bit-depth defense: PyTorchClassifier(preprocessing_defences=[FeatureSqueezing(...)])
#   stops at predict() with "mat1 and mat2 must have the same dtype", and a network run by hand runs in double.
# Source: art/defences/preprocessor/feature_squeezing.py, __call__: max_value = np.rint(2**self.bit_depth - 1); NumPy's
#   NEP 50, in force since 2.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.26.4 2.3.5; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet numpy==$version scipy==1.16.3 scikit-learn==1.7.2 six==1.17.0 tqdm==4.67.1 \
        packaging==25.0
    "$work/$version/bin/pip" install --quiet --no-deps adversarial-robustness-toolbox==1.20.1
    "$work/$version/bin/python" -W ignore - <<'PYTHON'
import numpy as np
from art.defences.preprocessor import FeatureSqueezing

squeezed, _ = FeatureSqueezing(clip_values=(0.0, 1.0), bit_depth=3)(np.zeros((1, 3, 2, 2), np.float32))
print("numpy", np.__version__, "gives", squeezed.dtype)
expected = np.float32 if np.__version__.startswith("1.") else np.float64
assert squeezed.dtype == expected, "changed: the dtype may be kept now"
PYTHON
done
