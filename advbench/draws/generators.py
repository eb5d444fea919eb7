"""The generators that belong to the whole process, seeded for a while and left as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of torch, NumPy and Python, and give them their states back afterwards.

    For code that draws from them and cannot be told otherwise; nothing in this package does.

    Args:
        seed: in [0, 2**32).
        device: whose generator of torch is meant beside the CPU's.
    """
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # the old one is meant
    kept_there = accelerator.get_rng_state() if accelerator else None
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
        if accelerator:
            accelerator.set_rng_state(kept_there)
