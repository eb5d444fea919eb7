"""Seed the global random generators for code that draws from nothing else, and put them back."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from advbench.draws import Draws


@contextmanager
def global_draws(draws: Draws) -> Iterator[int]:
    """Seed the generators of torch, NumPy and Python from a batch's streams; afterwards they are as before.

    The seed is a pure function of the run's seed, the stream's name and the indices of the batch. Unlike
    draws of our own, an image's numbers then depend on the images that share its batch.

    Args:
        draws: the streams of a batch.

    Yields:
        The seed, for code that takes one, in [0, 2**32).
    """
    seed = batch_seed(draws)
    device = draws.indices.device
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # theirs, not ours
    kept_there = accelerator.get_rng_state() if accelerator else None
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield seed
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
        if accelerator:
            accelerator.set_rng_state(kept_there)


def batch_seed(draws: Draws) -> int:
    """32 bits of a hash of seed, stream and indices."""
    indices = ",".join(map(str, draws.indices.tolist()))
    digest = hashlib.blake2b(f"{draws.seed}{draws.name}|{indices}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
