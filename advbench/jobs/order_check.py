"""An end for runs whose classes are in another order than the model's outputs."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import nn

from advbench.data.batches import batches
from advbench.data.images import LabelledImages
from advbench.data.sampling import balanced_sample
from advbench.defended.left_as_found import prepared
from advbench.errors import DatasetError, ModelError, printable
from advbench.names.grammar import reject_of
from advbench.results.class_order import Order, other_order

_MOST_LINES: Final = 20
_SAMPLE: Final = 256
_AT_ONCE: Final = 64
_GOOD: Final = 0.6
_ABOVE_CHANCE: Final = 0.15


class ClassOrderError(DatasetError):
    """Labels that stand for other outputs of the model.

    Args:
        message: what is wrong, and how to mend it.
        order: the order of the outputs that clean predictions show, where they show one.
    """

    def __init__(self, message: str, order: Order | None = None) -> None:
        super().__init__(message)
        self.order = order


@contextmanager
def reject_class_suspected(word: str | None) -> Iterator[None]:
    """Tell it where the order of the outputs is one of a wrong `--reject-class` alone.

    Args:
        word: which output was said to refuse; None where none was.

    Raises:
        ClassOrderError: with the output that refuses by what clean images show, where it is another one.
    """
    try:
        yield
    except ClassOrderError as error:
        order, reject = error.order, None if word is None else reject_of(word)
        refusing = None if reject is None or order is None else _refusing(order, reject)
        if refusing is None or order is None:
            raise
        raise ClassOrderError(
            f"--reject-class {word} takes the wrong output away: {_share(order.as_is, order)} of {order.n} "
            f"clean images are right so, and {_share(order.right, order)} if output {refusing} refuses. If "
            f"that is right, give --reject-class {refusing}."
        ) from error


def _refusing(order: Order, reject: int) -> int | None:
    """The output that refuses, where the labels stand for all others in their own order; else None.

    Args:
        order: of the outputs that are left without the one that was said to refuse.
        reject: which that was.
    """
    count = len(order.outputs)
    for refusing in range(count + 1):
        own = [label + (label >= refusing) for label in range(count)]  # each label's output, of all
        left = [output - (output > reject) for output in own]
        known = [label for label in range(count) if own[label] != reject]
        if refusing != reject and all(order.outputs[label] == left[label] for label in known):
            return refusing
    return None


def check_order(
    labels: Sequence[int], predictions: Sequence[int], images: LabelledImages, head: int | None = None
) -> str:
    """End the run where another order of the classes explains clean predictions far better.

    An order that the user has given and that a part of the images bears out is the user's word: a model may
    have learnt two classes the wrong way round.

    Args:
        labels: of some of the images.
        predictions: the model's.
        images: the data set.
        head: how many outputs the model has, where its checkpoint tells.

    Returns:
        A note for the table where the user's order is doubtful; empty where there is no doubt.

    Raises:
        ClassOrderError: another order does, or there are more outputs than classes and nothing tells which
            output is which.
    """
    order = other_order(labels, predictions, images.classes)
    if order is not None:
        return _refused(order, labels, predictions, images)
    count, right = len(images.classes), _right(labels, predictions)
    outputs = max(head or 0, max(predictions) + 1)
    if images.outputs is None and 0 < count < outputs and _is_chance(right, labels):
        raise ClassOrderError(
            f"the model has {outputs} outputs or more and the data set {count} classes, and {right:.1%} of "
            f"{len(labels)} clean images are right as the labels are. Say which output each class is: "
            f"{_advice(images.classes)}."
        )
    return ""


def check_order_before_training(
    model: nn.Module, images: LabelledImages, device: torch.device, seed: int
) -> str:
    """The same before a model is trained on, on a sample; how many outputs it has is its own affair.

    Returns:
        As `check_order`.

    Raises:
        ClassOrderError: another order of the classes explains the predictions far better.
    """
    labels, predictions = predicted(model, images, balanced_sample(images.labels, _SAMPLE, seed), device)
    order = other_order(labels, predictions, images.classes)
    return "" if order is None else _refused(order, labels, predictions, images)


@torch.no_grad()
def check_order_of_run(
    model: nn.Module,
    labels: Sequence[int],
    predictions: Sequence[int],
    images: LabelledImages,
    *,
    head: int | None,
    device: torch.device,
    seed: int,
) -> str:
    """The same for a run; where its own images are few and mostly wrong, more of the data set is looked at.

    Args:
        model: pixels to logits, normalisation inside.
        labels: of the run's images.
        predictions: the model's.
        images: the data set.
        head: how many outputs the model has, where its checkpoint tells.
        device: where the model is.
        seed: of the sample.

    Returns:
        As `check_order`.

    Raises:
        ClassOrderError: likewise.
    """
    if len(labels) < min(_SAMPLE, len(images)) and _right(labels, predictions) < _GOOD:
        sample = balanced_sample(images.labels, _SAMPLE, seed)
        try:
            labels, predictions = predicted(model, images, sample, device)
        except (DatasetError, ModelError):
            return check_order(labels, predictions, images, head)  # the run's own images have to do
    return check_order(labels, predictions, images, head)


@torch.no_grad()
def predicted(
    model: nn.Module, images: LabelledImages, indices: Sequence[int], device: torch.device
) -> tuple[list[int], list[int]]:
    """Labels of some images, and what a model takes them for."""
    labels: list[int] = []
    predictions: list[int] = []
    with prepared(model), torch.random.fork_rng(devices=[]):
        for batch in batches(images, indices, _AT_ONCE):
            labels += batch.y.tolist()
            predictions += model(batch.x.to(device)).argmax(1).tolist()
    return labels, predictions


def described(order: Order, images: LabelledImages) -> str:
    """The message: what the accuracy is, what it would be, in which order, and how to say so."""
    sentence = (
        "the classes of the data set are in another order than the model's outputs: "
        f"{_share(order.as_is, order)} of {order.n} clean images are right as the labels are, "
        f"{_share(order.right, order)} {order.name or 'in the order that follows'}."
    )
    names = [printable(kind) for kind in images.classes]
    pairs = sorted((output, label) for label, output in enumerate(order.outputs) if output >= 0)
    if not names or images.outputs is not None:
        listed = ", ".join(f"{label} -> {output}" for output, label in pairs[:_MOST_LINES])
        more = ", ..." if len(pairs) > _MOST_LINES else ""
        where = "the labels" if not names else "the file of --classes or --class-index"
        return f"{sentence} Correct {where}; label -> output: {listed}{more}."
    contiguous = [output for output, _ in pairs] == list(range(len(pairs)))
    lines = [names[label] if contiguous else f"{output} {names[label]}" for output, label in pairs]
    more = ", ..." if len(lines) > _MOST_LINES else ""
    form = "one name a line" if contiguous else "lines 'index name'"
    listed = ", ".join(lines[:_MOST_LINES])
    return f"{sentence} If that is right, give {_advice(images.classes)}: {form}: {listed}{more}."


def _refused(order: Order, labels: Sequence[int], predictions: Sequence[int], images: LabelledImages) -> str:
    if images.outputs is None or _is_chance(_right(labels, predictions), labels):
        raise ClassOrderError(described(order, images), order)
    return described(order, images).rstrip(".")


def _right(labels: Sequence[int], predictions: Sequence[int]) -> float:
    return sum(one == other for one, other in zip(labels, predictions, strict=True)) / len(labels)


def _is_chance(right: float, labels: Sequence[int]) -> bool:
    return right <= 1 / max(1, len(set(labels))) + _ABOVE_CHANCE


def _share(count: int, order: Order) -> str:
    return f"{count / order.n:.1%}"


def _advice(names: Sequence[str]) -> str:
    if all(re.fullmatch(r"n\d{8}", name) for name in names):
        return "--class-index imagenet_class_index.json, or --classes FILE"
    return "--classes FILE"
