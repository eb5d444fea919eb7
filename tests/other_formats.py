"""A small harmless file of every format that Pillow registers: saved by Pillow, or a header by hand."""

import io
import struct
import warnings
from collections.abc import Mapping
from typing import Final

from PIL import Image

Image.init()

_PCX: Final = struct.pack("<BBBBHHHHHH", 10, 5, 1, 8, 0, 0, 7, 7, 72, 72) + bytes(49) + b"\1" + bytes(62)

BY_HAND: Final[Mapping[str, bytes]] = {
    "BUFR": b"BUFR" + bytes(32),
    "CUR": struct.pack("<HHHBBBBHHII", 0, 2, 1, 8, 8, 0, 0, 0, 0, 40, 22)
    + struct.pack("<IiiHHIIiiII", 40, 8, 16, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(300),
    "DCX": struct.pack("<III", 0x3ADE68B1, 12, 0) + _PCX + bytes(1000),
    "FITS": b"".join(
        f"{key:<8}= {value:>20}".ljust(80).encode()
        for key, value in {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 8}.items()
    )
    + b"END".ljust(2480)
    + bytes(2880),
    "FLI": struct.pack("<IHHHHHHI", 144, 0xAF11, 1, 8, 8, 8, 3, 0) + bytes(108) + bytes(64),
    "FTEX": b"FTEX" + struct.pack("<7i", 1, 8, 8, 1, 1, 1, 32) + struct.pack("<i", 192) + bytes(192),
    "GBR": struct.pack(">IIIII", 28, 2, 8, 8, 1) + b"GIMP" + struct.pack(">I", 10) + bytes(64),
    "GRIB": b"GRIB\0\0\0\1" + bytes(32),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(32),
    "IMT": b"width 8\nheight 8\npixel n8\n\x0c" + bytes(64),
    "IPTC": b"".join(
        struct.pack(">BBBH", 0x1C, *kind, len(value)) + value
        for kind, value in {
            (3, 60): b"\1\0",
            (3, 20): b"\0\x08",
            (3, 30): b"\0\x08",
            (3, 120): b"\1",
            (8, 10): bytes(64),
        }.items()
    ),
    "MCIDAS": struct.pack("!64i", *(0, 4, 0, 0, 0, 0, 0, 0, 8, 8, 1, 0, 0, 1), *[0] * 50) + bytes(64),
    "MPEG": b"\0\0\1\xb3\x00\x80\x08" + bytes(32),
    "PCD": bytes(2048) + b"PCD_" + bytes(1600),
    "PIXAR": b"\x80\xe8\0\0" + bytes(412) + struct.pack("<HHHHHH", 8, 8, 0, 0, 14, 2) + bytes(800),
    "PSD": struct.pack(">4sH6xHIIHH", b"8BPS", 1, 1, 8, 8, 8, 1) + bytes(12) + b"\0\0" + bytes(64),
    "SUN": struct.pack(">8I", 0x59A66A95, 8, 8, 8, 64, 1, 0, 0) + bytes(64),
    "QOI": b"qoif" + struct.pack(">IIBB", 8, 8, 3, 0) + bytes(64),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0"
    + struct.pack("<hhhhH", 0, 0, 8, 8, 72)
    + bytes(6)
    + b"\1\0\t\0"
    + bytes(40),
    "XPM": b'/* XPM */\nstatic char *x[] = {\n"8 1 1 1",\n"a c #000000",\n"aaaaaaaa"\n};\n',
    "XVTHUMB": b"P7 332\n#XVVERSION\n8 8 255\n" + bytes(64),
}


def file_of(kind: str) -> bytes:
    """A picture of 32x32 (or 8x8) pixels in a format of Pillow's, one that Pillow's own opener knows."""
    if kind in BY_HAND:
        return BY_HAND[kind]
    mode = {"BLP": "P", "MSP": "1", "XBM": "1"}.get(kind, "RGB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a format that Pillow will give up
        Image.new(mode, (32, 32)).save(file := io.BytesIO(), kind)
    return file.getvalue()
