"""The sizes of batches that a network sees, so that an image has the same bits whatever their number."""

from typing import Final

LANES: Final = 8
"""On CPUs, multiples of 8 images gave every image the same bits whatever their number, for LeNet5, ResNets
and a vision transformer, with 1, 2, 4 and 8 threads; batches of 1, 2, 3, 5, 6 and 7 did not."""


def roomy(count: int, lanes: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, ... times `lanes` that is not below `count`.

    A batch takes few different sizes so: allocators and convolution libraries keep memory for every size
    that they meet. At most a third is wasted.
    """
    filled = max(1, -(-count // lanes))
    power = 1 << (filled - 1).bit_length()
    return lanes * (power * 3 // 4 if power >= 4 and filled <= power * 3 // 4 else power)
