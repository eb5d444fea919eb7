"""How many images are computed at a time: chosen by a probe, halved where memory runs out.

It decides about speed and memory, never about results: an image's draws are its own.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, Images
from advbench.data.read_ahead import ReadAhead
from advbench.defended.black_box import black_box_in
from advbench.defended.counting import Shown
from advbench.defended.gradient import seconds_a_gradient
from advbench.defended.lanes import LANES
from advbench.defended.logits import way_to_logits
from advbench.defended.model import DefendedModel, Placement
from advbench.errors import RunError, ran_out_of_memory
from advbench.speed.memory import available_memory, release_memory

AUTO: Final = "auto"

_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
_SAFE = 128  # where the model cannot be probed
_SECONDS = 1.0  # for all measurements
_ROUNDS = 4  # of which the first makes the library choose its kernels
_FEW = 32  # images
_NEARLY = 0.97  # of the best speed: a smaller batch that is as good as fast needs less memory
_SHARE = 0.5  # of the free memory
_SOON = 10.0  # seconds
_AT_MOST = 16  # times what goes through the network together
_BUSY = 128  # images; where half of them have fallen, the rest still fill what goes through together
_WRITTEN = (1, 2, 4, 16, 32, 64, 128, 256, 512, 10, 20, 50, 100, 200, 250, 500, 1000)  # into networks' code
_TRIED = 2**24  # numbers in a batch that is tried
_STATE = 32  # copies of an image that an attack holds, with room to spare
_OVERHEAD = 3.0  # gradients and temporaries beside the activations that autograd keeps

Result = TypeVar("Result")


@dataclass
class BatchSize:
    """The number of images at a time, as far as it is known to fit.

    Args:
        images: how many go through the network together.
        note: is told once that memory ran out, and what was done about it.
        lanes: batches are filled up to multiples of this number, see `DefendedModel`.
        most: how many images an attack may be busy with. Those that fall leave, so that what goes through
            the network stays full for longer, the more there are; they wait for one another, so that more
            are lost with a run that is stopped.
        shown: counts what the model is shown.
    """

    images: int = _SAFE
    note: Callable[[str], None] = lambda _: None
    lanes: int = 1
    most: int = 0
    halved: bool = False
    shown: Shown = field(default_factory=Shown)

    def halve(self, tried: int) -> None:
        """Go on with half of the batch that did not fit, or first without filling it up.

        Raises:
            RunError: it was a single image.
        """
        if tried <= self.lanes and self.lanes > 1:
            self.lanes = 1
            return
        if min(tried, self.images) == 1:
            raise RunError("the device is out of memory even for a single image.")
        self.images, self.most = min(tried, self.images) // 2, 0
        if not self.halved:
            self.note(f"out of memory with {tried} images at a time: going on with {self.images} or fewer")
        self.halved = True


def in_batches(
    dataset: Images,
    indices: Sequence[int],
    size: BatchSize,
    work: Callable[[Batch], Result],
    *,
    growing: bool = False,
) -> Iterator[Result]:
    """Do some work on images in order, a batch at a time; a batch that does not fit is done again in halves.

    Args:
        dataset: where the images are.
        indices: which ones.
        size: how many at a time.
        work: what is done; it may be called again for the same images.
        growing: whether a batch may be larger than what goes through the network together, as far as
            `size.most` allows: 128 images at first, then twice as many as before while that was done soon.
    """
    count = max(_BUSY, size.images) if growing else size.images
    with ReadAhead(dataset, indices) as images:
        while images.left:
            count = min(count, max(size.images, size.most))
            batch, began = images.first(count), time.perf_counter()
            try:
                with size.shown.done_again_without_memory():
                    result = work(batch)
            except Exception as error:
                if not ran_out_of_memory(error):
                    raise
            else:
                images.drop(len(batch.indices))
                if growing and time.perf_counter() - began < _SOON:
                    count *= 2
                yield result
                continue
            # The error is gone here, and with its frames the tensors that filled the memory.
            release_memory()
            size.halve(len(batch.indices))


def most_in_flight(x: Tensor, images: int) -> int:
    """How many images an attack may be busy with, by the memory for what it holds of each.

    Args:
        x: a clean image, `(1, c, h, w)`.
        images: how many go through the network together.
    """
    fit = int(_SHARE * available_memory(x.device) / 4 / (_STATE * x.numel() * x.element_size()))
    return max(images, min(_AT_MOST * images, fit))


def fitting_lanes(model: nn.Module, placements: Sequence[Placement], x: Tensor) -> int:
    """How many images a batch can be filled up to: none for a program that was exported for one batch size.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        placements: its defenses.
        x: a clean image, `(1, c, h, w)`.
    """
    if black_box_in(model) is not None:  # each image that it is shown counts
        return 1
    try:
        with torch.no_grad():
            DefendedModel(model, placements, lanes=LANES)(x)
    except Exception:  # whatever else is wrong with the model, the clean pass will say
        return 1
    return LANES


def only_size(model: nn.Module, x: Tensor, wanted: int | str) -> int:
    """The number of images that a model takes, where it is written into its code and takes no other.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`, which does not take `LANES` images.
        x: a clean image, `(1, c, h, w)`.
        wanted: how many images at a time the user asks for, which is tried first.

    Returns:
        The number; 0 where none of those that are tried fits, or where memory ran out.
    """
    if black_box_in(model) is not None:
        return 0
    first = [wanted] if isinstance(wanted, int) else []
    for size in dict.fromkeys([LANES, *first, *_WRITTEN]):
        if size * x.numel() > _TRIED:
            continue
        try:
            fits = _takes(model, x, size)
        except Exception as error:  # what is wrong with a model that takes none, the clean pass says
            if ran_out_of_memory(error):
                return 0
            fits = False
        if fits:
            return size
    return 0


def own_size(network: nn.Module, x: Tensor, wanted: int | str) -> int:
    """As `only_size`, of a network of which nothing is known yet; 0 for one that takes any number of images.

    Args:
        network: pixels `(n, c, h, w)` to logits, or to something that holds them.
        x: a clean image, `(1, c, h, w)`.
        wanted: as for `only_size`.
    """
    try:
        if _takes(network, x, 1) and _takes(network, x, 3):
            return 0
    except Exception as error:  # the user's network may raise anything
        if ran_out_of_memory(error):
            return 0
    return only_size(network, x, wanted)


@torch.no_grad()
def _takes(model: nn.Module, x: Tensor, size: int) -> bool:
    output: Any = model(x.expand(size, -1, -1, -1).contiguous())
    way = None if isinstance(output, Tensor) else way_to_logits(output)
    return len(output if way is None else way.take(output)) == size


def filled_up(model: nn.Module, size: int) -> nn.Module:
    """A model that sees so many images at a time and no other number; the model itself where `size` is 0."""
    return DefendedModel(model, (), lanes=size, at_once=size) if size else model


def probed_size(model: nn.Module, x: Tensor, most: int) -> int:
    """The smallest batch that computes a gradient about as fast an image as any that fits the memory.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`, parameters frozen.
        x: a clean image `(1, c, h, w)` on the model's device.
        most: how many images there are.
    """
    try:
        # The first pass also wakes libraries up, which can take a second: no part of the clock.
        room = _SHARE * available_memory(x.device) / max(1.0, _OVERHEAD * _bytes_kept(model, x))
        seconds_a_gradient(model, x)
        sizes = [size for size in _SIZES if size <= room and size // 2 < most]
        speeds = _speeds(model, x, sizes)
    except Exception as error:  # a model that cannot be run at all: the clean pass says so better
        return max(1, _SAFE // 16) if ran_out_of_memory(error) else _SAFE
    if not speeds:
        return 1 if room < _SIZES[0] else _SIZES[0]
    fastest = max(speeds.values())
    return min(size for size, speed in speeds.items() if speed >= _NEARLY * fastest)


def _bytes_kept(model: nn.Module, x: Tensor) -> int:
    """What autograd keeps of one forward pass, in bytes an image; parameters are not counted."""
    own = {parameter.data_ptr() for parameter in model.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if tensor.data_ptr() not in own:
            kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model(x.detach().requires_grad_())
    return kept // len(x)


def _speeds(model: nn.Module, x: Tensor, sizes: Sequence[int]) -> dict[int, float]:
    """Images a second at each size that there is time for; a processor's own seconds are counted.

    In rounds over all sizes, as a machine may be busy for a while. Fewer than 32 images were slower or no
    faster on every network that was measured; they are for little memory, and for networks that take long.
    """
    if not sizes:
        return {}
    clock = time.process_time if x.device.type == "cpu" else time.perf_counter
    image = seconds_a_gradient(model, x.expand(sizes[0], -1, -1, -1), clock) / sizes[0]
    tried = [size for size in sizes if size >= _FEW] or sizes[-1:]
    count = sum(sum(tried[: place + 1]) * image * _ROUNDS <= _SECONDS for place in range(len(tried)))
    seconds = dict.fromkeys(tried[:count], math.inf)
    for _ in range(_ROUNDS):
        for size in seconds:
            taken = seconds_a_gradient(model, x.expand(size, -1, -1, -1), clock)
            seconds[size] = min(taken, seconds[size])
    return {size: size / second for size, second in seconds.items()} or {sizes[0]: 1.0 / image}
