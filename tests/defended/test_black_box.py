"""A function on arrays as a classifier: counted, repeated, bounded."""

from typing import Any

import numpy as np
import pytest
import torch

from advbench.defended.black_box import BlackBox, Meter, black_box_in, counting_in
from advbench.defended.black_box_form import Form, Takes
from advbench.defended.counting import Shown
from advbench.defended.model import DefendedModel
from advbench.errors import ModelError, StoppedError

_FLOATS = Form(Takes("nhwc", "float"), "scores")
_CLASSES = ("dark", "bright")


class Counting:
    """Scores by brightness; fails where it is told to, and counts every image."""

    def __init__(self, fails: int = 0) -> None:
        self.images, self.calls, self.fails = 0, 0, fails

    def __call__(self, x: Any) -> Any:
        self.images += len(x) if x.ndim == 4 else 1
        self.calls += 1
        if self.fails:
            self.fails -= 1
            raise ConnectionError("try again")
        bright = x.reshape(len(x), -1).mean(1)
        x[:] = 0  # its own to write to
        return np.stack([0.5 - bright, bright - 0.5], axis=1)


def _meter(**settings: Any) -> Meter:
    return Meter(sleep=lambda _: None, **settings)


def test_it_asks_in_batches_of_its_own_size_and_leaves_the_images() -> None:
    function, x = Counting(), torch.rand(5, 1, 2, 2)
    before = x.clone()
    logits = BlackBox(function, _FLOATS, _CLASSES, 2, _meter())(x)
    assert torch.equal(logits.argmax(1), (x.mean((1, 2, 3)) > 0.5).long())
    assert torch.equal(x, before)
    assert (function.calls, function.images) == (3, 5)
    assert not logits.requires_grad


def test_a_failing_call_is_repeated_after_longer_and_longer_waits_and_counted() -> None:
    waits: list[float] = []
    function, shown = Counting(fails=2), Shown()
    box = BlackBox(function, _FLOATS, _CLASSES, 8, Meter(sleep=waits.append, wait=0.5))
    model = counting_in(box, shown)
    model(torch.rand(4, 1, 2, 2))
    assert waits == [0.5, 1.0]
    assert shown.images["repeated"] == 8
    assert sum(shown.images.values()) == function.images == box.meter.asked == 12


@pytest.mark.parametrize(("begun", "error"), [(False, ModelError), (True, StoppedError)])
def test_what_fails_for_good_ends_the_run_and_is_counted(begun: bool, error: type[Exception]) -> None:
    function, shown = Counting(fails=9), Shown()
    box = BlackBox(function, _FLOATS, _CLASSES, 2, _meter(retries=1, begun=begun))
    with pytest.raises(error, match=r"failed 2 times \(ConnectionError: try again"):
        counting_in(box, shown)(torch.rand(4, 1, 2, 2))
    assert sum(shown.images.values()) == function.images == 4


def test_no_image_beyond_the_bound_is_shown() -> None:
    function, shown = Counting(), Shown()
    box = BlackBox(function, _FLOATS, _CLASSES, 2, _meter(most=7, earlier=4))
    with pytest.raises(
        ModelError, match="--max-queries 7 is reached: 6 images were shown, and the next call"
    ):
        counting_in(box, shown)(torch.rand(4, 1, 2, 2))
    assert function.images == sum(shown.images.values()) == 2


def test_calls_keep_their_rate() -> None:
    now, waits = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    box = BlackBox(Counting(), _FLOATS, _CLASSES, 1, Meter(rate=4, sleep=sleep, clock=lambda: now[0]))
    box(torch.rand(5, 1, 2, 2))
    assert waits == [0.25] * 4


def test_one_image_at_a_time_is_joined() -> None:
    form = Form(Takes("hwc", "uint8"), "labels")
    box = BlackBox(lambda image: int(image.mean() > 127), form, _CLASSES, 1, _meter())
    assert box(torch.tensor([0.1, 0.9]).view(2, 1, 1, 1)).tolist() == [[1, 0], [0, 1]]
    assert (box.gives, box.levels) == ("labels", 255)


def test_an_answer_of_another_kind_is_named() -> None:
    box = BlackBox(lambda _: [float("nan")], _FLOATS, _CLASSES, 1, _meter(begun=True))
    with pytest.raises(StoppedError, match="NaN or infinity for 1 of 1 images; at first it gave scores"):
        box(torch.rand(1, 1, 1, 1))


def test_it_is_known_under_what_wraps_it() -> None:
    box = BlackBox(Counting(), _FLOATS, _CLASSES, 1, _meter())
    assert black_box_in(DefendedModel(counting_in(box, Shown()), ())) is box
    assert black_box_in(torch.nn.Linear(2, 2)) is None
