"""The generators that belong to the whole process, seeded for a while and left as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def generators_given_back() -> Iterator[None]:
    """Give the generators of torch (CPU and CUDA), NumPy and Python their states back afterwards.

    For what is called from Python: a network that is built draws weights, which a checkpoint then replaces.
    """
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # the old one is meant
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]  # of torch
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of torch, NumPy and Python, and give them their states back afterwards.

    For code that draws from them and cannot be told otherwise; nothing in this package does.

    Args:
        seed: in [0, 2**32).
        device: whose generator of torch is meant beside the CPU's.
    """
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    kept_there = accelerator.get_rng_state() if accelerator else None
    with generators_given_back():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        # As `torch.manual_seed`, which also writes down a stack for each device that nobody has begun with.
        torch.default_generator.manual_seed(seed)
        if accelerator:
            getattr(accelerator, "manual_seed_all", accelerator.manual_seed)(seed)
        try:
            yield
        finally:
            if accelerator:
                accelerator.set_rng_state(kept_there)
