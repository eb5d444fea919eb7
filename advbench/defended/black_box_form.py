"""What a black box takes and gives: the layout of its arrays, their range, and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from advbench.errors import ModelError, SpecError, nearest

Array = npt.NDArray[Any]

Layout = Literal["nchw", "nhwc", "chw", "hwc"]
"""A batch of images, or one image at a time; channels first or last."""

Pixels = Literal["float", "uint8"]
"""float32 in [0, 1], or whole numbers from 0 to 255."""

Answer = Literal["scores", "probabilities", "log-probabilities", "labels", "logit", "probability"]
"""`(n, k)` scores of any range, probabilities or their logarithms; `(n,)` labels; `(n,)` or `(n, 1)` of two
classes the second's logit or probability."""

LEVELS: Final = 255
"""Steps between black and white where pixels have 8 bits."""

_LEAST: Final = 1e-30
"""A probability that is less has this one's logarithm, which no prediction rests on."""
_SUM: Final = 1e-3
_KEYS: Final = ("logits", "scores", "probabilities", "probs", "predictions", "outputs", "labels")


@dataclass(frozen=True)
class Takes:
    """What a black box is called with.

    Args:
        layout: of its arrays.
        pixels: their type and range.
    """

    layout: Layout
    pixels: Pixels

    def __str__(self) -> str:
        return f"{self.layout},{self.pixels}"

    @property
    def one_at_a_time(self) -> bool:
        """Whether it is called once for each image."""
        return not self.layout.startswith("n")

    def array(self, x: Tensor) -> Array:
        """Images `(n, c, h, w)` in [0, 1] as what it is called with, to write to; one alone has no batch."""
        pixels = x.detach().cpu().numpy()
        if self.pixels == "uint8":
            pixels = pixels * np.float32(LEVELS)
            pixels = np.rint(pixels, out=pixels).clip(0, LEVELS, out=pixels)
        last = self.layout.endswith("hwc")
        n, c, h, w = pixels.shape
        shape = (n, h, w, c) if last else (n, c, h, w)
        array = np.empty(shape, np.uint8 if self.pixels == "uint8" else np.float32)
        channels_first = array.transpose(0, 3, 1, 2) if last else array
        for channel in range(c):  # NumPy takes three times as long to move a short axis to the end at once
            channels_first[:, channel] = pixels[:, channel]
        return array[0] if self.one_at_a_time else array


@dataclass(frozen=True)
class Form:
    """What a black box takes and gives.

    Args:
        takes: what it is called with.
        gives: what comes back.
    """

    takes: Takes
    gives: Answer

    def __str__(self) -> str:
        return f"{self.takes},{self.gives}"

    @property
    def in_words(self) -> str:
        """What it takes and gives, for people."""
        order = "(h, w, c)" if self.takes.layout.endswith("hwc") else "(c, h, w)"
        what = f"one image {order} at a time" if self.takes.one_at_a_time else f"images (n, {order[1:]}"
        pixels = "8-bit pixels (0 to 255)" if self.takes.pixels == "uint8" else "float32 pixels in [0, 1]"
        return f"the black box takes {what} with {pixels} and gives {self.gives}"


class UnreadableError(Exception):
    """Why an answer cannot be read, to follow the name of what gave it."""


def parse_form(text: str) -> tuple[Layout | None, Pixels | None, Answer | None]:
    """What `nhwc,uint8,labels` says; None for what is left open.

    Raises:
        SpecError: a word that there is not, or two of one kind.
    """
    kinds: tuple[tuple[str, ...], ...] = (get_args(Layout), get_args(Pixels), get_args(Answer))
    parts: list[Any] = [None, None, None]
    for word in filter(None, (word.strip() for word in text.split(","))):
        place = next((number for number, known in enumerate(kinds) if word in known), None)
        if place is None:
            known = [name for kind in kinds for name in kind]
            raise SpecError(f"a black box's form has no {word!r}. {nearest(word, known)}")
        if parts[place] is not None:
            raise SpecError(f"a black box's form is {parts[place]} or {word}, got both.")
        parts[place] = word
    layout, pixels, answer = parts
    return layout, pixels, answer


def array_of(output: Any, count: int, classes: Sequence[str]) -> Array:
    """The numbers in what a black box returns: `(count, k)` or `(count,)`.

    Arrays, tensors and lists are read; of a dictionary its entry of a usual name (`logits`, `scores`,
    `probabilities`, `labels`) or its only one, of a tuple the first. Texts are names of classes.

    Args:
        output: what it returned.
        count: how many images it was given.
        classes: the names of the data set's classes, in the order of their labels.

    Raises:
        UnreadableError: it cannot be read.
    """
    if isinstance(output, Mapping):
        keys = [key for key in _KEYS if key in output] or (list(output) if len(output) == 1 else [])
        if not keys:
            raise UnreadableError(
                f"returns a dictionary with {', '.join(map(repr, list(output)[:5]))}: return {_KEYS[0]}"
            )
        output = output[keys[0]]
    if isinstance(output, tuple) and output and not np.isscalar(output[0]):
        output = output[0]
    if isinstance(output, Tensor):
        output = output.detach().cpu().float().numpy() if output.is_floating_point() else output.cpu().numpy()
    try:
        array = np.asarray(output)
    except ValueError:
        raise UnreadableError("returns lists of different lengths") from None
    if array.dtype.kind in "US":
        array = _labels_of_names(array.astype(str), classes)
    if array.dtype.kind not in "biuf":
        raise UnreadableError(f"returns {type(output).__name__}, which holds no numbers")
    if array.ndim not in (1, 2) or len(array) != count or (array.ndim == 2 and array.shape[1] == 0):
        raise UnreadableError(
            f"returns shape {array.shape} for {count} images: (n, classes) or (n,) is expected"
        )
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        wrong = int((~np.isfinite(array.reshape(count, -1)).all(axis=1)).sum())
        raise UnreadableError(f"returns NaN or infinity for {wrong} of {count} images")
    return array


def _labels_of_names(names: Array, classes: Sequence[str]) -> Array:
    numbers = {name: label for label, name in enumerate(classes)}
    unknown = [name for name in names.ravel().tolist() if name not in numbers]
    if unknown:
        raise UnreadableError(f"returns the name {unknown[0]!r:.40}, which is no class of the data set")
    return np.array([numbers[name] for name in names.ravel().tolist()], dtype=np.int64).reshape(names.shape)


def answer_of(array: Array) -> Answer:
    """What kind of answer numbers are, as `array_of` returns them."""
    if array.ndim == 2 and array.shape[1] > 1:
        if array.dtype.kind != "f":
            return "scores"
        if bool((array >= 0.0).all()) and bool((np.abs(array.sum(axis=1) - 1.0) < _SUM).all()):
            return "probabilities"
        with np.errstate(over="ignore"):
            total = np.exp(array.astype(np.float64)).sum(axis=1)
        is_log = bool((array <= 0.0).all()) and bool((np.abs(total - 1.0) < _SUM).all())
        return "log-probabilities" if is_log else "scores"
    flat = array.ravel()
    if array.dtype.kind in "biu" or (bool((flat == np.round(flat)).all()) and bool((flat >= 0.0).all())):
        return "labels"
    return "probability" if bool(((flat >= 0.0) & (flat <= 1.0)).all()) else "logit"


def logits_of(array: Array, gives: Answer, classes: int) -> Array:
    """The answer as logits `(n, k)`, float32, whose largest is the class that was answered.

    Probabilities become their logarithms, so that their cross-entropy is what they say; labels become 1 for
    the class and 0 for the others.

    Args:
        array: as `array_of` returns it.
        gives: what it is.
        classes: how many classes the data set has; labels get as many columns.

    Raises:
        UnreadableError: another kind of answer.
    """
    flat = array.reshape(len(array), -1)
    if gives in ("scores", "probabilities", "log-probabilities"):
        if flat.shape[1] < 2:
            raise UnreadableError(f"returns shape {array.shape} where {gives} (n, classes) are expected")
        if gives != "probabilities":
            return flat.astype(np.float32)
        if bool((flat < 0.0).any()):
            raise UnreadableError("returns a probability below 0")
        return np.log(np.maximum(flat, _LEAST)).astype(np.float32)
    if flat.shape[1] != 1:
        raise UnreadableError(f"returns shape {array.shape} where one number an image is expected ({gives})")
    return _of_single(flat[:, 0], gives, classes)


def _of_single(flat: Array, gives: Answer, classes: int) -> Array:
    if gives == "labels":
        whole = flat.astype(np.int64)
        if not bool((whole == flat).all()) or not bool(((whole >= 0) & (whole < max(2, classes))).all()):
            raise UnreadableError(
                f"returns a label that is none of the data set's, 0 to {max(2, classes) - 1}: give images of "
                "its highest class too, or a function that returns scores"
            )
        one_hot: Array = np.eye(max(2, classes), dtype=np.float32)[whole]
        return one_hot
    if gives == "logit":
        return np.stack([np.zeros_like(flat), flat], axis=1).astype(np.float32)
    if not bool(((flat >= 0.0) & (flat <= 1.0)).all()):
        raise UnreadableError("returns a probability that is not in [0, 1]")
    both = np.stack([1.0 - flat, flat], axis=1)
    logits: Array = np.log(np.maximum(both, _LEAST)).astype(np.float32)
    return logits


def check_classes(form: Form, classes: int) -> None:
    """Refuse one number for many classes.

    Raises:
        ModelError: a logit or a probability of one class where the data set has more than two.
    """
    if form.gives in ("logit", "probability") and classes > 2:
        raise ModelError(
            f"the black box returns one number an image, no whole one, and the data set has {classes} "
            "classes: return a score a class, or the label."
        )
