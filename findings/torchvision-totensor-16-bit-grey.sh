#!/usr/bin/env bash
# torchvision's ToTensor makes the white of a 16-bit grey picture -1.
#
# Versions: torchvision 0.29.2, torch 2.14.1, Pillow 13.0.0
# Guess: 0 to 65,535 become 0 to 1, as 0 to 255 do; at worst they stay unscaled.
# Really: the picture is read as signed 16-bit integers and left unscaled. Black is 0, everything from mid-grey up is
#   negative, white is -1: darker than black. v2.ToImage with ToDtype(scale=True) is right.
# Seen (pixels 0, 1000, 32767, 32768, 65535):
#   v1 ToTensor         [0, 1000, 32767, -32768, -1] torch.int16
#   v2 ToImage, ToDtype [0.0, 0.0153, 0.5, 0.5, 1.0] torch.float32
# Hurts: X-ray, depth, microscopy and satellite data sets, kept as 16-bit PNG or TIFF. Bright pixels wrap around, and
#   after a .float() / 65535 nothing looks odd but the accuracy.
# Source: torchvision/transforms/functional.py, line 167: mode_to_nptype has np.int16 for "I;16"; pil_to_tensor of the
#   same file gives torch.uint16. The documentation says only that other modes come "without scaling".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
"$work/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import ToTensor, v2

picture = Image.fromarray(np.array([[0, 1000, 32767, 32768, 65535]], np.uint16))
old = ToTensor()(picture)
new = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])(picture)
print("v1 ToTensor        ", old.flatten().tolist(), old.dtype)
print("v2 ToImage, ToDtype", [round(value, 4) for value in new.flatten().tolist()], new.dtype)
assert new.flatten()[-1] == 1
assert old.flatten().tolist()[-2:] == [-32768, -1], "changed: white may be bright now"
PYTHON
