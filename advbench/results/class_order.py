"""Whether a model's outputs stand for the data set's classes in another order, told by its answers.

Folders sort as text, 1, 10, 2; a class is missing; an index begins at 1: each gives a working model with a
wrong accuracy. The confusion matrix of clean images is matched to the labels, on half of the images at a
time, and judged on the other half.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from advbench.results.statistics import mcnemar_exact

Indices = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_RARELY: Final = 1e-4
"""How often chance may make a doubt of a model that is right."""

_GAIN: Final = 0.05
_ABOVE_CHANCE: Final = 0.15
_TWICE: Final = 2.0
_SHARE: Final = 0.8
"""Of what the best of all orders explains: a random order has a few classes in common with a usual one."""

_OVERFITTED_SHARE: Final = 0.5
_ENOUGH: Final = 5  # images a label; with fewer the best of all orders explains by chance too

_THRICE: Final = 3.0
_THIRD: Final = 1 / 3
_MOST: Final = 0.4
"""What an order that was searched for must explain."""

_MOST_LABELS: Final = 0.5


class Order(NamedTuple):
    """Another order of the classes, which explains the answers far better.

    Args:
        outputs: the model's output of each label, `(k,)`; -1 for none.
        name: what kind of order it is, in words; empty for one of no kind that is known.
        right: the images that are right in it; of one that was searched for, on images not searched on.
        as_is: the images that are right as the labels are.
        n: all images.
    """

    outputs: tuple[int, ...]
    name: str
    right: int
    as_is: int
    n: int


def other_order(labels: Sequence[int], predictions: Sequence[int], names: Sequence[str]) -> Order | None:
    """An order of the classes that explains a model's answers far better than the one given, if there is one.

    Args:
        labels: of clean images, `(n,)`.
        predictions: the model's, `(n,)`; -1 for none.
        names: of the classes, by label; empty where the data have none.
    """
    y, guesses = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    k = max(int(y.max(initial=-1)) + 1, len(names))
    if k < 2 or bool((y == guesses).all()):
        return None
    return _known_order(y, guesses, names, k) or _matched_order(y, guesses, k)


def _known_order(y: Indices, guesses: Indices, names: Sequence[str], k: int) -> Order | None:
    """The best of the orders that people meet with, if it is far better than the labels as they are."""
    outputs = max(k, int(guesses.max()) + 1)
    known: dict[tuple[int, ...], str] = {}
    for name, order in _usual_orders(names, k, outputs):
        known.setdefault(tuple(order.tolist()), name)
    known.pop(tuple(range(k)), None)
    if not known:
        return None
    as_is = y == guesses
    counts = {order: int((np.asarray(order)[y] == guesses).sum()) for order in known}
    best = max(counts, key=lambda order: counts[order])
    right, moved = np.asarray(best)[y] == guesses, np.asarray(best)[y] != y
    chance = mcnemar_exact(int((right & ~as_is).sum()), int((as_is & ~right).sum()))
    share = _SHARE if len(y) >= _ENOUGH * k else _OVERFITTED_SHARE
    better = (
        counts[best] - int(as_is.sum()) >= _GAIN * len(y)
        and counts[best] >= (1 / k + _ABOVE_CHANCE) * len(y)
        and int(right[moved].sum()) >= _TWICE * int(as_is[moved].sum())
        and chance * len(known) <= _RARELY
        and _is_everywhere(y, right)
        and counts[best] >= share * int((best_assignment(y, guesses, k)[y] == guesses).sum())
    )
    return Order(best, known[best], counts[best], int(as_is.sum()), len(y)) if better else None


def _usual_orders(names: Sequence[str], k: int, outputs: int) -> Iterator[tuple[str, Indices]]:
    """The orders that people meet with: for each label its output, and what the order is called."""
    if len(names) == k:
        yield "where they follow the numbers in their names", _ranks([_by_numbers(name) for name in names])
        yield (
            "where capitals do not count in the alphabetical order",
            _ranks([name.lower() for name in names]),
        )
        numbers = [int(head[0]) if (head := re.match(r"\d+", name)) else -1 for name in names]
        if min(numbers) >= 0 and len(set(numbers)) == k:
            for first in (0, 1):
                order_name = "where the numbers in their names are the outputs" + (
                    ", less one" if first else ""
                )
                yield order_name, np.asarray(numbers) - first
    yield "in the reverse order", np.arange(k)[::-1].copy()
    for shift in range(1, k):
        yield (
            f"where they are shifted by {shift}, the last ones to the front",
            (np.arange(k) + shift) % k,
        )
    yield "where they are shifted by one: label 0 is output 1", np.arange(k) + 1
    yield "where they are shifted by one: label 1 is output 0", np.arange(k) - 1
    if outputs > k:
        for missing in range(1, k):
            yield (
                f"where one is missing: no label is output {missing}",
                np.arange(k) + (np.arange(k) >= missing),
            )


def _by_numbers(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts the numbers inside names as numbers."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def _ranks(keys: Sequence[object]) -> Indices:
    order = sorted(range(len(keys)), key=lambda place: keys[place])  # type: ignore[arg-type,return-value]  # texts or tuples
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys))
    return ranks


def _matched_order(y: Indices, guesses: Indices, k: int) -> Order | None:
    """The order that the confusion matrix is matched to, if images that had no part in it bear it out."""
    if _most(y, guesses) - int((y == guesses).sum()) < _GAIN * len(y):
        return None
    whole = best_assignment(y, guesses, k)
    half = _halves(y)
    right = np.zeros(len(y), bool)
    for part in (half, ~half):
        right[~part] = best_assignment(y[part], guesses[part], k)[y[~part]] == guesses[~part]
    as_is, moved = y == guesses, whole[y] != y
    chance = mcnemar_exact(int((right & ~as_is).sum()), int((as_is & ~right).sum()))
    held_out, before = int(right[moved].sum()), int(as_is[moved].sum())
    better = (
        int(right.sum()) >= _MOST * len(y)
        and right.sum() - as_is.sum() >= _GAIN * len(y)
        and held_out >= max(_THRICE * before, _THIRD * int(moved.sum()))
        and chance <= _RARELY
        and _is_everywhere(y, right)
    )
    if not better:
        return None
    seen = np.isin(np.arange(k), y)
    outputs = tuple(int(place) if there else -1 for place, there in zip(whole, seen, strict=True))
    return Order(outputs, "", int(right.sum()), int(as_is.sum()), len(y))


def best_assignment(y: Indices, guesses: Indices, k: int) -> Indices:
    """The output of each label that makes most answers right, each output once; `(k,)`.

    Solved as a linear assignment of the confusion matrix (Crouse 2016, as scipy has it). Where nothing speaks
    for another output, a label keeps its own.
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  # slow to import

    outputs = max(k, int(guesses.max(initial=-1)) + 1)
    confusion = np.zeros((k, outputs))
    answered = guesses >= 0
    np.add.at(confusion, (y[answered], guesses[answered]), 1.0)
    confusion[np.arange(k), np.arange(k)] += 0.5
    assigned: Indices = linear_sum_assignment(confusion, maximize=True)[1]
    return assigned


def _is_everywhere(y: Indices, right: BoolArray) -> bool:
    """Whether most labels are right about as often as all, which those of a model that collapses are not."""
    labels = np.unique(y)
    shares = np.asarray([right[y == label].mean() for label in labels])
    return bool((shares >= right.mean() / 2).mean() > _MOST_LABELS)


def _most(y: Indices, guesses: Indices) -> int:
    """No order makes more answers right than each label's most frequent answer does."""
    answered = guesses >= 0
    pairs, counts = np.unique(np.stack([y[answered], guesses[answered]]), axis=1, return_counts=True)
    return sum(int(counts[pairs[0] == label].max()) for label in np.unique(pairs[0]))


def _halves(y: Indices) -> BoolArray:
    """Every other image of each label."""
    turn = np.empty(len(y), np.int64)
    for label in np.unique(y):
        of_label = y == label
        turn[of_label] = np.arange(of_label.sum())
    first: BoolArray = turn % 2 == 0
    return first
