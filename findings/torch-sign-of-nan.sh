#!/usr/bin/env bash
# torch.sign(NaN) is 0: a sign step on a broken gradient stands still instead of failing.
#
# Versions: torch 2.13.0, numpy 2.4.6
# Guess: NaN goes through, as through NumPy's sign and nearly every function of torch.
# Really: 0. The gradient of an attack may be NaN at every pixel, and the image stays finite, in bounds and unattacked.
# Seen:
#   numpy nan, torch 0.0
#   gradient all NaN: True, image moved by 0.0
# Hurts: FGSM, PGD and MI-FGSM wherever a defense or a loss gives NaN (sqrt at 0, log of 0, a division by a norm of 0).
#   No step is taken, no NaN is left to be noticed, and the network counts as robust.
# Source: aten/src/ATen/native/cpu/UnaryOpsKernel.cpp in torch's repository, sign_kernel: (0 < a) - is_negative(a), and
#   neither holds for NaN. torch.sign's documentation has no word on NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import torch

nan = float("nan")
print(f"numpy {np.sign(nan)}, torch {torch.sign(torch.tensor(nan))}")
torch.manual_seed(0)
image = torch.rand(1, 3, 4, 4, requires_grad=True)
contrast = (image - image.detach()).pow(2).sum().sqrt()  # the distance of an image from itself
gradient, = torch.autograd.grad(contrast, image)
moved = (image + 8 / 255 * gradient.sign()).clamp(0, 1)
print(f"gradient all NaN: {bool(gradient.isnan().all())}, image moved by {(moved - image).abs().max().item()}")
assert np.isnan(np.sign(nan)) and gradient.isnan().all()
assert torch.equal(moved, image), "changed: NaN may go through now"
PYTHON
