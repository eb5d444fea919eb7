#!/usr/bin/env bash
# torchvision resizes a picture in floats up to 12 grey levels otherwise than in uint8, also after clamping.
#
# Versions: torchvision 0.29.2, torch 2.15.0, Pillow 13.0.0
# Guess: with antialias=True a float picture, clamped to [0, 1], differs from the uint8 one by its rounding, one level.
# Really: that holds for bilinear. Bicubic overshoots at edges, and works across first, then down. In uint8 (Pillow's way,
#   which torch copies) what comes of the first pass is clipped to 0..255 before the second; in floats it isn't, and the
#   clamp at the end comes too late. With a clamp between two one-way passes one level is left.
# Seen (largest difference of float and clamped from uint8 and from Pillow, in grey levels, black and white patches):
#   bilinear  uint8  0.85  Pillow  0.85
#   bicubic   uint8 11.83  Pillow 11.83
#   bicubic, clipped between its passes: uint8  0.95
# Hurts: whoever moves a bicubic preprocessing (most of timm's) from PIL to float tensors, to attack or to differentiate
#   through it: the network sees other pixels by more than the radius of many attacks.
# Source: torch/nn/functional.py, interpolate -> _upsample_bicubic2d_aa; for uint8 on the CPU UpSampleKernelAVXAntialias.h,
#   whose buffer between the horizontal and the vertical pass is uint8.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
"$work/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode, functional

patches = np.random.default_rng(0).choice([0, 255], (12, 10, 3))
levels = np.kron(patches, np.ones((5, 5, 1))).astype(np.uint8)
bytes_ = torch.from_numpy(levels).permute(2, 0, 1)


def resized(image, mode):
    return functional.resize(image, [32, 32], interpolation=mode, antialias=True)


def farthest(mode):
    by_float = resized(bytes_.float() / 255, mode).clamp(0, 1) * 255
    by_bytes = resized(bytes_, mode).float()
    by_pillow = torch.from_numpy(np.array(resized(Image.fromarray(levels), mode))).permute(2, 0, 1).float()
    return [float((by_float - other).abs().max()) for other in (by_bytes, by_pillow)]


bilinear, bicubic = farthest(InterpolationMode.BILINEAR), farthest(InterpolationMode.BICUBIC)
print(f"bilinear  uint8 {bilinear[0]:5.2f}  Pillow {bilinear[1]:5.2f}")
print(f"bicubic   uint8 {bicubic[0]:5.2f}  Pillow {bicubic[1]:5.2f}")
x = bytes_.float()[None] / 255
mode = {"mode": "bicubic", "antialias": True}
across = torch.nn.functional.interpolate(x, size=(60, 32), **mode).clamp(0, 1)
both = torch.nn.functional.interpolate(across, size=(32, 32), **mode).clamp(0, 1) * 255
clipped = float((both[0] - resized(bytes_, InterpolationMode.BICUBIC).float()).abs().max())
print(f"bicubic, clipped between its passes: uint8 {clipped:5.2f}")
assert max(bilinear) < 1.1 < 8 < min(bicubic) and clipped < 1.5, "changed"
PYTHON
