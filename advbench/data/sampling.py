"""Which images of a data set are evaluated."""

import numpy as np

from advbench.data.images import Labels


def balanced_sample(labels: Labels, count: int, seed: int) -> list[int]:
    """A seeded sample of `count` indices with as equal a share of every class as there is.

    The sample of a smaller count is contained in that of a larger one with the same seed.

    Args:
        labels: all labels, `(n,)`.
        count: how many to take; all of them where there are not more.
        seed: of the sample.

    Returns:
        Dataset indices in ascending order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    shuffled = labels[order]
    turn = np.empty(len(labels), dtype=np.int64)  # how many of its class come before each image
    for label in np.unique(labels):
        mine = shuffled == label
        turn[mine] = np.arange(mine.sum())
    first_rounds = np.argsort(turn, kind="stable")
    return sorted(int(each) for each in order[first_rounds[:count]])
