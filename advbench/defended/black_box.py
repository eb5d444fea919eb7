"""A classifier of which nothing is known but its answers: a function on arrays, an estimator, an endpoint.

It has no gradient. Every image that it is shown is counted, a call that fails is repeated after a wait, and
what it may be asked in all, and in a second, can be bounded.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from advbench.defended.black_box_form import LEVELS, Array, Form, Takes, UnreadableError, array_of, logits_of
from advbench.defended.counting import CountedModel, Shown
from advbench.defended.model import network_of
from advbench.errors import AdvbenchError, ModelError, StoppedError, first_line, ran_out_of_memory
from advbench.names.user_code import line_of

Function = Callable[[Array], Any]


@dataclass(kw_only=True)
class Meter:
    """What a black box may be asked, and was.

    Args:
        most: images in all starts of a run together; None for any number.
        rate: calls a second at most; None for any number.
        retries: how often a call that fails is repeated.
        wait: seconds before the first repetition; each further wait is twice as long.
        asked: images that it was shown in this start, those of repeated calls included.
        earlier: images of earlier starts, which count against `most`.
        begun: whether the run's folder is open: from then on what ends it can be gone on with.
        shown: counts what a run shows to its model, by purpose; None before the run.
        sleep: waits for so many seconds.
        clock: tells the time, in seconds.
    """

    most: int | None = None
    rate: int | None = None
    retries: int = 3
    wait: float = 1.0
    asked: int = 0
    earlier: int = 0
    begun: bool = False
    shown: Shown | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    next_call: float = field(default=0.0, repr=False)

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Meter":
        """The same: what a copy of the model is asked counts like what the model itself is asked."""
        return self

    def end(self, sentence: str) -> AdvbenchError:
        """The error that ends a run: one that is gone on with where it has begun."""
        return StoppedError(f"{sentence} What is done is kept.") if self.begun else ModelError(sentence)

    def before_call(self, count: int) -> None:
        """Count images that are shown now, and wait for the next call's turn.

        Raises:
            AdvbenchError: more than may be asked.
        """
        if self.most is not None and self.earlier + self.asked + count > self.most:
            raise self.end(
                f"--max-queries {self.most} is reached: {self.earlier + self.asked} images were shown, and "
                f"the next call has {count}. The same command with more goes on; each start first shows all "
                "clean images again, and --batch-size says how many are attacked together."
            )
        if self.rate is not None:
            now = self.clock()
            if self.next_call > now:
                self.sleep(self.next_call - now)
            self.next_call = max(now, self.next_call) + 1.0 / self.rate
        self.asked += count


def asked(function: Function, array: Callable[[], Array], count: int, meter: Meter) -> Any:
    """What a function answers; a call that fails is repeated.

    Args:
        function: what is asked.
        array: makes what it is called with, anew for each repetition: the function may write to it.
        count: how many images these are.
        meter: counts them.

    Raises:
        AdvbenchError: it failed every time, or nothing more may be asked.
    """
    for attempt in range(meter.retries + 1):
        meter.before_call(count)
        try:
            return function(array())
        except (AdvbenchError, UnreadableError):
            raise
        except Exception as error:  # the user's function may raise anything
            if ran_out_of_memory(error):
                raise
            if attempt == meter.retries:
                times = f" {attempt + 1} times" if attempt else ""
                reason = f"{type(error).__name__}: {first_line(error).rstrip('.')}{line_of(error)}"
                raise meter.end(f"the black box failed{times} ({reason}).") from error
            meter.sleep(meter.wait * 2.0**attempt)
    raise AssertionError("the last attempt returns or raises")


class BlackBox(nn.Module):
    """A function on arrays as a classifier without a gradient.

    Args:
        function: arrays as `form` says to answers.
        form: what it takes and gives.
        classes: the names of the data set's classes, in the order of their labels.
        at_once: how many images a call has at most.
        meter: counts what it is shown.
    """

    def __init__(
        self, function: Function, form: Form, classes: Sequence[str], at_once: int, meter: Meter
    ) -> None:
        super().__init__()
        self.function = function
        self.form = form
        self.classes = tuple(classes)
        self.at_once = at_once
        self.meter = meter

    @property
    def gives(self) -> Literal["scores", "labels"]:
        """What an attack can make of its answers."""
        return "labels" if self.form.gives == "labels" else "scores"

    @property
    def levels(self) -> int | None:
        """Steps between black and white of the pixels that it takes; None for any number."""
        return LEVELS if self.form.takes.pixels == "uint8" else None

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, cut from `x`.

        Raises:
            AdvbenchError: it fails, answers something else than at first, or may be asked no more.
        """
        before, purpose = self.meter.asked, None if self.meter.shown is None else self.meter.shown.purpose
        try:
            logits = [self._answers(piece) for piece in torch.split(x, self.at_once)] if len(x) else []
        except BaseException:
            if self.meter.shown is not None and purpose is not None:  # what was counted, and never shown
                self.meter.shown.images[purpose] += self.meter.asked - before - len(x)
            raise
        if self.meter.shown is not None:
            self.meter.shown.images["repeated"] += self.meter.asked - before - len(x)
        joined = np.concatenate(logits) if logits else np.zeros((0, max(2, len(self.classes))), np.float32)
        return torch.from_numpy(joined).to(x.device)

    def _answers(self, x: Tensor) -> Array:
        try:
            return answers(self.function, x, self.form.takes, self.classes, self.meter, self._as_logits)
        except UnreadableError as why:
            raise self.meter.end(
                f"the black box {why}; at first it gave {self.form.gives} for {self.form.takes}."
            ) from why

    def _as_logits(self, array: Array) -> Array:
        return logits_of(array, self.form.gives, len(self.classes))


def answers(  # noqa: PLR0917  # a function, what it is given, and what is made of its answers
    function: Function,
    x: Tensor,
    takes: Takes,
    classes: Sequence[str],
    meter: Meter,
    read: Callable[[Array], Array] = lambda array: array,
) -> Array:
    """What a function answers to images `(n, c, h, w)`, joined where it takes one at a time.

    Args:
        function: what is asked.
        x: images in [0, 1].
        takes: what it is called with.
        classes: the names of the data set's classes.
        meter: counts what it is shown.
        read: what is made of the answers to one call.

    Raises:
        UnreadableError: an answer that cannot be read.
        AdvbenchError: the function fails, or nothing more may be asked.
    """
    parts = []
    for images in torch.split(x, 1) if takes.one_at_a_time else (x,):
        output = asked(function, partial(takes.array, images), len(images), meter)
        parts.append(read(array_of(_listed(output) if takes.one_at_a_time else output, len(images), classes)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _listed(output: Any) -> Any:
    """The answer to one image as a batch of one, where it is not one already."""
    if isinstance(output, dict):
        return {key: _listed(value) for key, value in output.items()}
    if isinstance(output, tuple) and output and not np.isscalar(output[0]):
        return _listed(output[0])
    shape = np.shape(output.detach().cpu() if isinstance(output, Tensor) else output)
    return output if len(shape) == 2 or (len(shape) == 1 and shape[0] == 1) else [output]


def black_box_in(model: nn.Module) -> BlackBox | None:
    """The black box that a model is, under what defends and counts it; None where it is none."""
    network = network_of(model)
    return network if isinstance(network, BlackBox) else None


def counting_in(model: nn.Module, shown: Shown) -> CountedModel:
    """A model that counts what it is shown; a black box counts there what it is shown again."""
    box = black_box_in(model)
    if box is not None:
        box.meter.shown = shown
    return CountedModel(model, shown)
