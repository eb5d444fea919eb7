"""Whether a classifier knows anything of the clean images."""

from typing import Final

import pandas as pd

from advbench.results.records import wilson_interval

NEAR: Final = 1.5
"""Accuracies below so many times that of guessing are near it."""


def chance_told(clean: pd.DataFrame) -> str | None:
    """A sentence where clean accuracy cannot be told from guessing; None where it can, or nothing is known.

    It is near chance where it lies below 1.5 times `1/k`, `k` the classes of the images, and its 95 %
    interval does not lie above `1/k`; and where every image is taken for the same class, or for none.

    Args:
        clean: the records of the clean rung.
    """
    n, k = len(clean), clean["label"].nunique()
    if n == 0 or k < 2:
        return None
    right = int(clean["robust"].sum())
    if clean["prediction"].lt(0).all():
        return f"the logits of all {n} clean images are NaN"
    if n > k and clean["prediction"].nunique() == 1:
        return f"every clean image is taken for class {clean['prediction'].iloc[0]}; {right} of {n} are right"
    if right < NEAR * n / k and wilson_interval(right, n).low <= 1.0 / k:
        return f"clean accuracy is {right} of {n}, no better than guessing among {k} classes"
    return None
