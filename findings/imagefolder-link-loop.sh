#!/usr/bin/env bash
# torchvision's ImageFolder counts a picture 41 times where a folder holds a link to itself.
#
# Versions: torchvision 0.29.2, torch 2.14.1, on Linux
# Guess: a link to a folder that is being read is either not followed or seen to be a loop.
# Really: it is followed until the system gives up on the path, after 40 links. Each round adds every picture again.
# Seen (one picture in each class, and a link "again" in cat/ that leads to cat/):
#   pictures by class: cat 41, dog 1
# Hurts: accuracy and robust accuracy on folders that were tidied with links ("latest", "all"). One class outweighs the
#   others, the same picture is train and test at once, and no message tells.
# Source: torchvision/datasets/folder.py, line 89: os.walk(target_dir, followlinks=True); Python's documentation warns
#   that this "can lead to infinite recursion if a link points to a parent directory of itself".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
mkdir -p "$work/data/cat" "$work/data/dog"
ln -s ../cat "$work/data/cat/again"
"$work/env/bin/python" -W ignore - "$work/data" <<'PYTHON'
import sys

from PIL import Image
from torchvision.datasets import ImageFolder

for name in ("cat", "dog"):
    Image.new("RGB", (2, 2)).save(f"{sys.argv[1]}/{name}/0.png")
folder = ImageFolder(sys.argv[1])
cats, dogs = (folder.targets.count(folder.class_to_idx[name]) for name in ("cat", "dog"))
print(f"pictures by class: cat {cats}, dog {dogs}")
assert dogs == 1
assert cats == 41, "changed: loops may be seen now"
PYTHON
