"""Scikit-learn's estimators as heads: scores a class, the largest of which is what is predicted."""

import inspect
from typing import Any

import numpy as np

from advbench.errors import DefenseError, first_line

_METHODS = ("predict_proba", "decision_function")


def is_estimator(thing: Any) -> bool:
    """Whether something predicts as scikit-learn's classifiers do; a class of such is none."""
    return not inspect.isclass(thing) and callable(getattr(thing, "predict", None)) and hasattr(thing, "fit")


def unfit_reason(estimator: Any) -> str:
    """Why an estimator cannot be a head, to follow its name; empty where it can."""
    from sklearn.exceptions import NotFittedError  # noqa: PLC0415  # slow to import
    from sklearn.utils.validation import check_is_fitted  # noqa: PLC0415

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return "is not fitted: call its fit(features, labels) in the function that makes it."
    except TypeError:  # none of scikit-learn's own; its first prediction tells
        return ""
    try:
        _columns(estimator)
    except DefenseError as error:
        return str(error)
    return ""


def scores_of(estimator: Any, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Scores `(n, k)` in the order of the labels, or whole-number labels `(n,)` where it tells no classes.

    Probabilities, or else what its decision function gives. Where these have their maximum at another class
    than it predicts (votes that tie, support vectors one against one), the predicted class is raised above
    the others: the estimator is judged by its predictions.

    Args:
        estimator: fitted.
        features: `(n, d)`.

    Raises:
        DefenseError: classes that are no whole numbers, or scores that are not for these.
    """
    columns = _columns(estimator)
    predicted = np.asarray(estimator.predict(features))
    if columns is None:
        return _whole(predicted)
    scores = _scores(estimator, features, columns, predicted)
    k = int(columns.max()) + 1
    wide = np.full((len(features), k), _below(scores), dtype=np.float32)
    wide[:, columns] = scores
    labels = _whole(predicted)
    other = wide.argmax(1) != labels
    top = wide.max(1)
    wide[other, labels[other]] = top[other] + 0.05 * np.maximum(top - np.median(wide, axis=1), 1e-3)[other]
    return wide


def _scores(
    estimator: Any, features: np.ndarray[Any, Any], columns: np.ndarray[Any, Any], predicted: Any
) -> np.ndarray[Any, Any]:
    """A column a class that the estimator knows, `(n, len(columns))`."""
    method = next((name for name in _METHODS if callable(getattr(estimator, name, None))), None)
    if method is None:
        return _votes(predicted, columns)
    scores = np.asarray(getattr(estimator, method)(features), dtype=np.float64)
    if scores.ndim == 1 and len(columns) == 2:  # the second class's, of two
        scores = np.stack([-scores / 2.0, scores / 2.0], axis=1)
    if scores.shape != (len(features), len(columns)):
        kinds = int(len(columns) * (len(columns) - 1) / 2)
        if scores.shape == (len(features), kinds):  # one against one
            return _votes(predicted, columns)
        raise DefenseError(
            f"{type(estimator).__name__}.{method} gives shape {scores.shape} for {len(features)} images and "
            f"{len(columns)} classes."
        )
    return scores


def _votes(predicted: Any, columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A vote for what is predicted, `(n, len(columns))`."""
    votes: np.ndarray[Any, Any] = _whole(predicted)[:, None] == columns[None, :]
    return votes.astype(np.float64)


def _below(scores: np.ndarray[Any, Any]) -> float:
    """A score that no class has, for classes that the estimator does not know."""
    if not scores.size:
        return 0.0
    least, most = float(scores.min()), float(scores.max())
    return 0.0 if least >= 0.0 and most <= 1.0 else least - 1.0


def _columns(estimator: Any) -> np.ndarray[Any, Any] | None:
    """The labels of an estimator's columns; None where it tells none.

    Raises:
        DefenseError: they are no whole numbers from 0.
    """
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return None
    try:
        labels = np.asarray(classes)
        columns = _whole(labels)
    except (DefenseError, TypeError, ValueError) as error:
        raise DefenseError(
            f"has classes that are no labels: {first_line(error)} Fit it to whole numbers from 0."
        ) from error
    if columns.ndim != 1 or not len(columns) or columns.min() < 0:
        raise DefenseError(f"has classes that are no labels from 0: {classes!r:.60}")
    return columns


def _whole(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Labels as whole numbers.

    Raises:
        DefenseError: they are none.
    """
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64)
    if labels.dtype.kind != "f" or not bool((labels == np.round(labels)).all()):
        raise DefenseError(f"labels must be whole numbers, got {labels.dtype} such as {labels.flat[0]!r}.")
    return labels.astype(np.int64)
