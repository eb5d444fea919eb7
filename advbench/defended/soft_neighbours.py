"""A differentiable version of scikit-learn's nearest neighbours, made of what the estimator keeps."""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

_LOOKED_AT: Final = 512
"""Kept images whose neighbours tell how wide the vote is."""


class SoftNeighbours:
    """Votes of all kept images, near ones louder than far ones: class-wise log-sum-exp of distances.

        s_c(f) = log sum_{i in c} exp(-||f - p_i||^2 / t)

    with `t` the mean squared distance of a kept image to its `k` nearest others. Its softmax is the chance
    that a neighbour drawn by distance is of a class (Frosst, Papernot, Hinton 2019, "Analyzing and
    improving representations with the soft nearest neighbor loss", equation 1).

    Args:
        points: kept features, `(m, d)`.
        labels: of these, `(m,)`, from 0.
        k: neighbours that vote.
    """

    def __init__(self, points: Tensor, labels: Tensor, k: int) -> None:
        self.centre = points.mean(0)
        self.points = points - self.centre  # near to zero, squares of distances lose fewer digits
        self.members = [labels == label for label in range(int(labels.max()) + 1)]
        some = self.points[:: max(1, len(points) // _LOOKED_AT)]
        nearest = self._squares(some).topk(min(k + 1, len(points)), dim=1, largest=False).values[:, 1:]
        self.width = float(nearest.mean()) if nearest.numel() and bool(nearest.any()) else 1.0

    def __call__(self, features: Tensor) -> Tensor:
        """Scores `(n, classes)` of features `(n, d)`; a class that no kept image has gets the least."""
        votes = -self._squares(features - self.centre.to(features)) / self.width
        empty = votes.amin(1) - 1.0
        columns = [
            torch.logsumexp(votes[:, members], dim=1) if bool(members.any()) else empty
            for members in self.members
        ]
        return torch.stack(columns, dim=1)

    def _squares(self, centred: Tensor) -> Tensor:
        """Squared distances to the kept images, `(n, m)`."""
        points = self.points.to(centred)
        squares = centred.square().sum(1, keepdim=True) + points.square().sum(1) - 2.0 * centred @ points.T
        return squares.clamp_min(0.0)


def soft_neighbours(estimator: Any) -> SoftNeighbours | None:
    """The soft version of a fitted `KNeighborsClassifier`; None of anything else, or of another metric.

    Nothing of it is called: its kept features and labels are read.
    """
    kind = type(estimator)
    if kind.__name__ != "KNeighborsClassifier" or not kind.__module__.startswith("sklearn.neighbors"):
        return None
    points, codes = getattr(estimator, "_fit_X", None), getattr(estimator, "_y", None)
    classes = np.asarray(getattr(estimator, "classes_", []))
    if getattr(estimator, "effective_metric_", "") != "euclidean" or not isinstance(points, np.ndarray):
        return None
    if not isinstance(codes, np.ndarray) or codes.ndim != 1 or classes.dtype.kind not in "iuf":
        return None
    labels = torch.from_numpy(classes.astype(np.int64)[codes])
    return SoftNeighbours(torch.from_numpy(points).float(), labels, int(estimator.n_neighbors))
