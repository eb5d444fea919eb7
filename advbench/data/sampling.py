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
    return sorted(balanced_order(labels, seed)[:count])


def balanced_order(labels: Labels, seed: int) -> list[int]:
    """All indices in a seeded order whose beginning, however long, is a balanced sample.

    Args:
        labels: all labels, `(n,)`.
        seed: of the order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    shuffled = labels[order]
    turn = np.empty(len(labels), dtype=np.int64)  # how many of its class come before each image
    for label in np.unique(labels):
        of_class = shuffled == label
        turn[of_class] = np.arange(of_class.sum())
    in_order: list[int] = order[np.argsort(turn, kind="stable")].tolist()
    return in_order
