#!/usr/bin/env bash
# torchvision's MNIST reads a folder that it stopped writing in 2021 in place of the files that it documents.
#
# Versions: torchvision 0.29.2, torch 2.14.1
# Guess: MNIST/raw is read, since 0.10 and later write nothing else; MNIST/processed of older versions is ignored, or at
#   least compared.
# Really: where processed/training.pt and processed/test.pt both exist they are read, and raw is not opened. Nothing is
#   compared, no checksum is looked at, nothing is said. The same holds for FashionMNIST, KMNIST and EMNIST.
# Seen:
#   raw alone             labels [0, 1, 2, 3]
#   with the older layout labels [9, 9, 9, 9]
# Hurts: whoever puts a set of their own (corrupted, adversarial, another split) as idx files into a folder that was
#   first filled before 0.10, or shares such a folder: the accuracy is that of the old images.
# Source: torchvision/datasets/mnist.py, MNIST.__init__ and _check_legacy_exist (check_integrity without an MD5); pull
#   request 3420 of pytorch/vision, and issue 4685 for the release that stopped writing the folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" -W ignore - <<'PYTHON'
import struct
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import MNIST

images, labels = np.zeros((4, 28, 28), np.uint8), np.arange(4, dtype=np.uint8)
raw = Path("MNIST/raw")
raw.mkdir(parents=True)
for part in ("train", "t10k"):
    for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (raw / f"{part}-{kind}-ubyte").write_bytes(head + values.tobytes())
alone = MNIST(".", train=False).targets.tolist()
print("raw alone            ", "labels", alone)

older = Path("MNIST/processed")
older.mkdir()
for name in ("training.pt", "test.pt"):
    torch.save((torch.full((4, 28, 28), 255, dtype=torch.uint8), torch.full((4,), 9)), older / name)
both = MNIST(".", train=False).targets.tolist()
print("with the older layout", "labels", both)
assert alone == [0, 1, 2, 3]
assert both == [9, 9, 9, 9], "changed: the older layout may be ignored now"
PYTHON
