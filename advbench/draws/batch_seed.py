"""Seed the global random generators for code that draws from nothing else, and put them back."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from advbench.draws.draws import Draws
from advbench.draws.generators import seeded


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
    with seeded(seed, draws.indices.device):
        yield seed


def batch_seed(draws: Draws) -> int:
    """32 bits of a hash of seed, stream and indices."""
    indices = ",".join(map(str, draws.indices.tolist()))
    digest = hashlib.blake2b(f"{draws.seed}{draws.name}|{indices}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
