"""The generators that belong to the whole process, seeded for a while and left as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of torch, NumPy and Python, and give them their states back afterwards.

    For code that draws from them and cannot be told otherwise; nothing in this package does.

    Args:
        seed: in [0, 2**32).
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # it is the old one that is meant
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
