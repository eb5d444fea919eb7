#!/usr/bin/env bash
# torch.cdist: from 26 rows on, two images that differ are 0 apart, and an image is not 0 from itself.
#
# Versions: torch 2.13.0, on the CPU
# Guess: the distance of two rows is that of the two rows, however many others there are; at worst its last bits differ.
# Really: with more than 25 rows on one side it goes by |a|^2 + |b|^2 - 2ab. For images in [0, 1] of 3,072 values the
#   three terms are about 1,000, and what is left of a small difference is rounding.
# Seen (images of 3x32x32, each 1e-5 away from its copy at every pixel, so 0.00055 in L2):
#   25 rows: to the copy 0.00055 to 0.00055, to itself at most 0.00000
#   26 rows: to the copy 0.00000 to 0.02471, to itself at most 0.01914
# Hurts: L2 sizes of perturbations, nearest-neighbour detectors, and any code that finds out by the smallest distance
#   which clean image an adversarial one came from. Small batches in a test pass; the real batch size does not.
# Source: torch/functional.py, cdist, line 1499: compute_mode="use_mm_for_euclid_dist_if_necessary" "will use matrix
#   multiplication approach [...] if P > 25 or R > 25". compute_mode="donot_use_mm_for_euclid_dist" is exact.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch

torch.manual_seed(0)
images = torch.rand(26, 3 * 32 * 32)
copies = images + 1e-5
for rows in (25, 26):
    near = torch.cdist(images[:rows], copies[:rows]).diagonal()
    self_ = torch.cdist(images[:rows], images[:rows]).diagonal().max().item()
    print(f"{rows} rows: to the copy {near.min():.5f} to {near.max():.5f}, to itself at most {self_:.5f}")
    right = torch.allclose(near, torch.tensor(0.000554), rtol=0.01) and self_ == 0
    assert right == (rows == 25), "changed: look at compute_mode again"
exact = torch.cdist(images, copies, compute_mode="donot_use_mm_for_euclid_dist").diagonal()
assert torch.allclose(exact, torch.tensor(0.000554), rtol=0.01)
PYTHON
