#!/usr/bin/env bash
# safetensors.numpy.save_file mixes up arrays that are not contiguous, in silence.
#
# Versions: safetensors 0.8.0 (0.7.0 as the reference), numpy 2.4.6
# Guess: an array is saved as its elements stand, or refused, as safetensors.torch refuses such a tensor.
# Really: 0.8.0 takes the memory as it lies and leaves the strides out. A transposed matrix comes back with the right
#   shape and its elements in another order; every second element comes back as the first half. 0.7.0 was right.
# Seen:
#   0.7.0 [[0, 3], [1, 4], [2, 5]] [0, 2, 4, 6, 8]
#   0.8.0 [[0, 1], [2, 3], [4, 5]] [0, 1, 2, 3, 4]
# Hurts: weights or images handed over as NumPy (a Dense kernel transposed from TensorFlow or JAX, NHWC images turned
#   to NCHW). The file is valid, the network loads, and only its accuracy tells.
# Source: safetensors/numpy.py, lines 22 and 23: data_ptr=tensor.ctypes.data, data_len=tensor.nbytes. The docstring
#   of save_file says "need to be contiguous and dense"; nothing checks it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/show.py" <<'PYTHON'
import sys

import numpy as np
from safetensors import __version__
from safetensors.numpy import load_file, save_file

matrix, vector = np.arange(6).reshape(2, 3).T, np.arange(10)[::2]
save_file({"matrix": matrix, "vector": vector}, sys.argv[1])
back = load_file(sys.argv[1])
print(__version__, back["matrix"].tolist(), back["vector"].tolist())
same = [np.array_equal(back["matrix"], matrix), np.array_equal(back["vector"], vector)]
assert same == [__version__ == "0.7.0"] * 2, "changed: strides may be kept now"
PYTHON
for version in 0.7.0 0.8.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet safetensors==$version numpy==2.4.6
    "$work/$version/bin/python" "$work/show.py" "$work/file.safetensors"
done
