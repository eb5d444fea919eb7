"""The soft version of nearest neighbours: its formula, its limit, and which estimators have one."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from advbench.defended.head import Head
from advbench.defended.soft_neighbours import SoftNeighbours, soft_neighbours

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(40, 3)) + 100.0
Y = np.arange(40) % 4


def test_scores_are_the_log_sum_exp_of_squared_distances_class_by_class() -> None:
    soft = soft_neighbours(KNeighborsClassifier(3).fit(X, Y))
    assert soft is not None
    features = GENERATOR.normal(size=(5, 3)) + 100.0
    squares = ((features[:, None] - X[None]) ** 2).sum(2)
    near = np.sort(((X[:, None] - X[None]) ** 2).sum(2), axis=1)[:, 1:4]
    assert soft.width == pytest.approx(near.mean(), rel=1e-4)
    wanted = np.stack([np.log(np.exp(-squares[:, c == Y] / near.mean()).sum(1)) for c in range(4)], axis=1)
    made = soft(torch.from_numpy(features).float())
    np.testing.assert_allclose(made.numpy(), wanted, rtol=1e-3, atol=1e-3)


def test_with_a_narrow_width_the_nearest_image_decides_and_the_gradient_leads_away_from_it() -> None:
    estimator = KNeighborsClassifier(1).fit(X, Y)
    soft = soft_neighbours(estimator)
    assert soft is not None
    soft.width /= 100.0
    features = torch.from_numpy(GENERATOR.normal(size=(20, 3)) + 100.0).float().requires_grad_()
    scores = soft(features)
    assert scores.argmax(1).tolist() == estimator.predict(features.detach().numpy()).tolist()
    chosen = scores.max(1).values
    (grad,) = torch.autograd.grad(chosen.sum(), features)
    nearest = torch.from_numpy(X[estimator.kneighbors(features.detach().numpy())[1][:, 0]])
    towards = (nearest - features.detach()).double()
    assert bool(((grad * towards).sum(1) > 0.0).all())


def test_labels_that_are_missing_have_the_least_score() -> None:
    soft = soft_neighbours(KNeighborsClassifier(2).fit(X, 2 * (Y % 2) + 1))
    assert soft is not None
    scores = soft(torch.from_numpy(X[:6]).float())
    assert scores.shape == (6, 4)
    assert bool((scores[:, [0, 2]] < scores[:, [1, 3]].amin(1, keepdim=True)).all())


@pytest.mark.parametrize(
    "other",
    [
        KNeighborsClassifier(2, metric="manhattan").fit(X, Y),
        KNeighborsClassifier(2, p=3).fit(X, Y),
        KNeighborsClassifier(2).fit(X, np.stack([Y, Y], axis=1)),
        NearestCentroid().fit(X, Y),
        make_pipeline(StandardScaler(), KNeighborsClassifier(2)).fit(X, Y),
        lambda features: features,
    ],
    ids=["manhattan", "minkowski", "two labels an image", "centroid", "pipeline", "function"],
)
def test_anything_else_has_none(other: Any) -> None:
    assert soft_neighbours(other) is None


def test_a_head_of_nearest_neighbours_has_it_as_its_first_substitute() -> None:
    head = Head(KNeighborsClassifier(3).fit(X, Y))
    assert head.substitutes == ("soft", "learned", "finite-difference")
    assert head.soft is not None
    x = torch.rand(2, 3, 1, 1)
    assert head.soft(x).shape == (2, 4)


def test_a_single_image_is_its_own_class() -> None:
    soft = SoftNeighbours(torch.zeros(1, 2), torch.tensor([0]), 1)
    assert soft(torch.ones(3, 2)).isfinite().all()
