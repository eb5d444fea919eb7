#!/usr/bin/env bash
# Pillow turns a TIFF as its orientation says, and no JPEG, PNG or WebP with the same note.
#
# Versions: Pillow 13.0.0 (12.3.0 too)
# Guess: Image.open never turns a picture; that is what ImageOps.exif_transpose is for, in every format.
# Really: for TIFF the size is turned at open, the pixels at load, and the note is deleted. For the others nothing
#   happens.
# Seen (a picture 3 wide and 2 high, orientation 6):
#   TIFF opens as (2, 3), note afterwards None
#   JPEG opens as (3, 2), note afterwards 6
#   PNG  opens as (3, 2), note afterwards 6
#   WEBP opens as (3, 2), note afterwards 6
# Hurts: data sets converted from one format to another. The same photographs give another accuracy as TIFF, and an
#   augmentation or a check that reads the note finds none.
# Source: PIL/TiffImagePlugin.py, load_end, line 1371: ImageOps.exif_transpose(self, in_place=True).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet pillow==13.0.0
"$work/env/bin/python" - "$work/picture" <<'PYTHON'
import sys

from PIL import ExifTags, Image

note = Image.Exif()
note[ExifTags.Base.Orientation] = 6
for format in ("TIFF", "JPEG", "PNG", "WEBP"):
    Image.new("RGB", (3, 2)).save(sys.argv[1], format, exif=note)
    with Image.open(sys.argv[1]) as picture:
        size = picture.size
        picture.load()
        left = picture.getexif().get(ExifTags.Base.Orientation)
        assert picture.size == size
    print(f"{format:4} opens as {size}, note afterwards {left}")
    assert (size, left) == (((2, 3), None) if format == "TIFF" else ((3, 2), 6)), "changed"
PYTHON
