"""The few pixels of the tests as files of pictures."""

import io

from PIL import Image

from tests.data.places import PIXELS


def png(index: int) -> bytes:
    """The contents of a PNG of picture number `index`."""
    file = io.BytesIO()
    Image.fromarray(PIXELS[index].transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


PNGS = [png(index) for index in range(len(PIXELS))]
