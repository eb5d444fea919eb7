"""What a black box takes and gives, found out on its first calls, or said by who knows."""

from collections.abc import Sequence
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
from torch import Tensor

from advbench.data.batches import read_batch
from advbench.data.images import LabelledImages
from advbench.data.sampling import balanced_order
from advbench.defended.black_box import Function, Meter, answers
from advbench.defended.black_box_form import (
    Answer,
    Array,
    Form,
    Layout,
    Pixels,
    Takes,
    UnreadableError,
    answer_of,
    check_classes,
    logits_of,
    parse_form,
)
from advbench.errors import AdvbenchError, ModelError, first_line
from advbench.names.user_code import line_of
from advbench.results.statistics import count_pairs

_TRIED: Final = 3
"""Images of a first call: a number that is neither a usual number of channels nor one image."""
_COMPARED: Final = 32
"""Images on which readings are compared that all work."""
_SURE: Final = 0.01
_BATCHES: Final[tuple[Layout, ...]] = ("nhwc", "nchw")
_ONES: Final[tuple[Layout, ...]] = ("hwc", "chw")
_PIXELS: Final[tuple[Pixels, ...]] = ("float", "uint8")


class _Reading(NamedTuple):
    """A way to call a black box that works, and what it answered to the first images."""

    takes: Takes
    array: Array


def form_of(function: Function, given: str, images: LabelledImages, meter: Meter, seed: int) -> Form:
    """What a black box takes and gives, as far as nobody has said it.

    Every layout and range is tried on three images. Where several work and answer otherwise, they are shown
    32 clean images: the one whose answers are right counts, where McNemar's exact p is below 0.01.

    Args:
        function: what is asked.
        given: what is known, `nhwc,uint8,labels` or parts of that; empty for nothing.
        images: the data set.
        meter: counts what the function is shown.
        seed: of the sample.

    Raises:
        ModelError: no reading works, or several are near each other.
        AdvbenchError: the function may be asked no more.
    """
    layout, pixels, gives = parse_form(given)
    order = balanced_order(images.labels, seed)[:_COMPARED]
    first = read_batch(images, order[:_TRIED])
    readings, reasons = list[_Reading](), list[str]()
    for layouts in ((layout,),) if layout else (_BATCHES, _ONES):
        wanted = [Takes(*pair) for pair in product(layouts, (pixels,) if pixels else _PIXELS)]
        for takes in wanted:
            try:
                readings.append(_Reading(takes, _shown(function, first.x, takes, images.classes, meter)))
            except UnreadableError as why:
                reasons.append(f"{takes}: it {why}")
        if readings:
            break
    if not readings:
        raise ModelError(
            f"the black box takes no images of shape {tuple(first.x.shape[1:])}: {_few(reasons)}."
        )
    readings = _distinct(readings)
    if len(readings) == 1:
        return _with_answer(readings[0], gives, images)
    return _best(function, readings, gives, (images, order), meter)


def _few(reasons: Sequence[str]) -> str:
    """The reasons in a line, alike ones once."""
    by_reason: dict[str, list[str]] = {}
    for reason in reasons:
        takes, _, why = reason.partition(": ")
        by_reason.setdefault(why, []).append(takes)
    return "; ".join(f"{' or '.join(takes)}: {why}" for why, takes in list(by_reason.items())[:4])


def _shown(function: Function, x: Tensor, takes: Takes, classes: Sequence[str], meter: Meter) -> Array:
    """The answers to some images in one reading.

    Raises:
        UnreadableError: it does not work.
        AdvbenchError: the function may be asked no more.
    """

    def tried(array: Array) -> Any:
        try:
            return function(array)
        except AdvbenchError:
            raise
        except Exception as error:  # a function that was meant for something else may raise anything
            if isinstance(error, OSError):  # of an endpoint that cannot be reached: a call is repeated
                raise
            raise UnreadableError(
                f"fails ({type(error).__name__}: {first_line(error)}{line_of(error)})"
            ) from error

    return answers(tried, x, takes, classes, meter)


def _distinct(readings: Sequence[_Reading]) -> list[_Reading]:
    """The readings that answer otherwise; of those that answer alike, bit for bit, the first.

    Labels of a few images agree by chance, and more of them do between 8-bit pixels and finer ones.
    """
    kept: list[_Reading] = []
    for reading in readings:
        if not any(_alike(reading, other) for other in kept):
            kept.append(reading)
    return kept


def _alike(reading: _Reading, other: _Reading) -> bool:
    if not np.array_equal(reading.array, other.array):
        return False
    if reading.array.dtype.kind == "f" and reading.array.ndim == 2:
        return True
    return len(reading.array) > _TRIED and reading.takes.pixels == other.takes.pixels


def _best(
    function: Function,
    readings: Sequence[_Reading],
    gives: Answer | None,
    data: tuple[LabelledImages, Sequence[int]],
    meter: Meter,
) -> Form:
    """The reading whose answers are right on clean images.

    Raises:
        ModelError: two are near each other.
    """
    images, order = data
    batch = read_batch(images, order)
    compared: list[tuple[_Reading, Array]] = []
    for reading in readings:
        try:
            array = _shown(function, batch.x, reading.takes, images.classes, meter)
            form = _with_answer(_Reading(reading.takes, array), gives, images)
            logits = logits_of(array, form.gives, max(len(images.classes), int(images.labels.max()) + 1))
        except (UnreadableError, ModelError):
            continue
        compared.append((_Reading(reading.takes, array), logits.argmax(1) == batch.y.numpy()))
    compared.sort(key=lambda pair: -int(pair[1].sum()))
    near = _distinct([reading for reading, right in compared if not _surely_better(compared[0][1], right)])
    if len(near) == 1:
        return _with_answer(near[0], gives, images)
    shares = "; ".join(f"{reading.takes}: {int(right.sum())}" for reading, right in compared)
    raise ModelError(
        f"the black box can be read in several ways, which are right on nearly as many of {len(order)} clean "
        f"images ({shares or 'none works'}): say what it takes, --black-box-form {readings[0].takes}."
    )


def _surely_better(best: Array, right: Array) -> bool:
    if np.array_equal(best, right):
        return False
    pairs = count_pairs(best, right)
    return pairs.difference > 0.0 and pairs.p_value < _SURE


def _with_answer(reading: _Reading, gives: Answer | None, images: LabelledImages) -> Form:
    form = Form(reading.takes, gives or answer_of(reading.array))
    classes = max(len(images.classes), int(images.labels.max()) + 1)
    check_classes(form, classes)
    try:
        logits_of(reading.array, form.gives, classes)
    except UnreadableError as why:
        raise ModelError(f"the black box {why}.") from why
    return form
