#!/usr/bin/env bash
# Pillow turns a white-is-zero TIFF the right way round at 8 bits, and leaves it a negative at 16.
#
# Versions: Pillow 13.0.0 (12.3.0 too), tifffile 2026.3.3 as the writer
# Guess: whoever honours the tag that says 0 is white honours it at every depth.
# Really: an all-white file opens as 255 at 8 bits and as 0, black, at 16. The mode tells nothing: "I;16" both ways.
# Seen:
#   uint8  white opens as L    255
#   uint16 white opens as I;16 0
# Hurts: scans and X-rays, where white-is-zero and 16 bits are both usual. A folder of mixed depths holds pictures and
#   negatives side by side, and clean accuracy falls for no reason that shows.
# Source: PIL/TiffImagePlugin.py, OPEN_INFO: line 187 pairs photometric 0 at 8 bits with rawmode "L;I" (inverted), line
#   198 at 16 bits with "I;16", the same as photometric 1 in the line below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
"$work/env/bin/python" - "$work/white.tiff" <<'PYTHON'
import sys

import numpy as np
import tifffile
from PIL import Image

found = {}
for dtype in ("uint8", "uint16"):
    tifffile.imwrite(sys.argv[1], np.zeros((4, 4), dtype), photometric="miniswhite")
    with Image.open(sys.argv[1]) as picture:
        found[dtype] = picture.mode, int(np.asarray(picture).max())
    print(f"{dtype:6} white opens as {found[dtype][0]:4} {found[dtype][1]}")
assert found["uint8"] == ("L", 255)
assert found["uint16"] == ("I;16", 0), "changed: 16 bits may be turned round now"
PYTHON
