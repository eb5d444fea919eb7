"""Scikit-learn's estimators: whatever they tell, the largest score is what they predict."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from advbench.defended.estimators import is_estimator, scores_of, unfit_reason
from advbench.errors import DefenseError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(90, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0.3).astype(int)
POINTS = GENERATOR.normal(size=(200, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(4),
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(5, random_state=0),
        SVC(),
        SVC(decision_function_shape="ovo"),
        LinearSVC(random_state=0),
        LogisticRegression(),
        Perceptron(random_state=0),
        NearestCentroid(),
        make_pipeline(StandardScaler(), SVC()),
    ],
)
@pytest.mark.parametrize("classes", [2, 4])
def test_the_largest_score_is_what_an_estimator_predicts(estimator: Any, classes: int) -> None:
    estimator.fit(X, Y % classes)
    assert unfit_reason(estimator) == ""
    scores = scores_of(estimator, POINTS)
    assert scores.shape == (200, classes)
    assert np.array_equal(scores.argmax(1), estimator.predict(POINTS))


def test_classes_that_an_estimator_never_saw_have_no_vote() -> None:
    scores = scores_of(KNeighborsClassifier(3).fit(X, 2 * (Y % 2) + 1), POINTS)
    assert scores.shape == (200, 4)
    assert not scores[:, [0, 2]].any()
    scores = scores_of(LinearSVC(random_state=0).fit(X, Y + 1), POINTS)
    assert (scores[:, 0] < scores[:, 1:].min(1)).all()


def test_an_estimator_that_cannot_be_a_head_says_why() -> None:
    assert "is not fitted" in unfit_reason(SVC())
    assert "classes that are no labels" in unfit_reason(SVC().fit(X, np.array(list("abcd"))[Y]))
    assert "no labels from 0" in unfit_reason(SVC().fit(X, Y - 1))
    assert is_estimator(SVC())
    assert not is_estimator(SVC)
    assert not is_estimator(len)


def test_labels_of_an_estimator_that_tells_no_classes_are_whole_numbers() -> None:
    class Bare:
        def __init__(self, labels: Any) -> None:
            self.labels = np.asarray(labels)

        def predict(self, features: Any) -> Any:
            return self.labels

    assert scores_of(Bare([1.0, 2.0]), X[:2]).tolist() == [1, 2]
    with pytest.raises(DefenseError, match="whole numbers"):
        scores_of(Bare([0.5, 2.0]), X[:2])
