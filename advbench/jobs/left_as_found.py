"""A process that is left as it was found, for what is called from Python."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from advbench.defended.left_as_found import in_full_precision
from advbench.draws.generators import generators_given_back


@contextmanager
def left_as_found() -> Iterator[None]:
    """Give back the state of every generator, the number of threads, and cuDNN's leave to use TF32.

    Meanwhile the caller's autocast is off.
    """
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    try:
        with generators_given_back(), in_full_precision():
            yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.backends.cudnn.allow_tf32 != tf32:
            torch.backends.cudnn.allow_tf32 = tf32
