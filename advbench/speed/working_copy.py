"""A copy of a classifier that gives the same gradients sooner.

An attack differentiates it; it is never judged, and where it does not agree with the classifier it is not
used (`agreement`).
"""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from advbench.defended.counting import count_also
from advbench.defended.gradient import seconds_a_gradient
from advbench.defended.model import network_of
from advbench.defended.own_precision import own_precision
from advbench.errors import SpecError, first_line, printable, ran_out_of_memory
from advbench.speed.agreement import CLOSELY, ROUGHLY, Tolerance, disagreement
from advbench.speed.folding import fold_batch_norm, watch_forward

_PAYS = 0.8  # of the time in float32
_LOWERED = 3  # looks at copies come before that at the one in bfloat16

Precision = Literal["fp32", "bf16", "auto"]

_Change = Callable[[nn.Module, Tensor], bool]


class Made(NamedTuple):
    """The copies that attacks differentiate; None where the model itself, or the other one, serves."""

    working: nn.Module | None
    rough: nn.Module | None


@dataclass(frozen=True)
class Copies:
    """Which copies of a model are wanted.

    Args:
        fast: one that computes the same sooner.
        precision: whether also one in bfloat16; `auto` where the device computes faster in it.
        compiled: whether `torch.compile` is to make the copies faster still, where the run is long enough.
    """

    fast: bool = True
    precision: Precision = "fp32"
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise SpecError(
                f"there is no precision {self.precision!r}; known: {', '.join(get_args(Precision))}."
            )

    def of(self, model: nn.Module, x: Tensor, places: Collection[str], note: Callable[[str], None]) -> Made:
        """The copies; arguments as for `working_copy`."""
        precision = own_precision(model)
        if precision:
            if self.precision == "bf16":
                note(f"--precision changes nothing: the model computes in {precision} by itself")
            return Made(None, None)
        working = working_copy(model, x, places, note) if self.fast else model
        rough = None
        if self.precision == "bf16" or (self.precision == "auto" and multiplies_bfloat16(x.device)):
            rough = in_bfloat16(working, x, note)
        if self.precision == "auto" and rough is not None and not _much_faster(rough, working, x):
            rough = None
        return Made(None if working is model else working, rough)


FAST: Final = Copies()
"""The copy that attacks differentiate unless they are told otherwise: the same numbers, sooner."""


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # nothing public says it in every version
    return device.type == "cpu" and probe is not None and bool(probe())


def _much_faster(rough: nn.Module, working: nn.Module, x: Tensor) -> bool:
    """Whether bfloat16 pays: networks of many small layers are slower in it on a CPU."""
    batch = x.repeat(4, 1, 1, 1)
    slow, fast = (min(seconds_a_gradient(network, batch) for _ in range(4)) for network in (working, rough))
    return fast < _PAYS * slow


def working_copy(
    model: nn.Module, x: Tensor, places: Collection[str], note: Callable[[str], None]
) -> nn.Module:
    """A copy with BatchNorm folded and convolutions in the order of memory that libraries are fastest in.

    The changes are made on one copy, which is kept if logits and gradients stay what they were; else each
    change is tried by itself. What decides is the network alone, never a clock, so that two runs
    differentiate the same.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`, in evaluation mode with frozen parameters.
        x: images to make those of that the copies are compared on.
        places: of defenses inside the network.
        note: is told in one sentence what could not be used.

    Returns:
        The copy, or the model itself where there is nothing to gain.
    """
    changes: dict[str, _Change] = {
        "with BatchNorm folded": partial(_folded, places=places),
        "in channels-last memory": _channels_last,
    }
    both = _changed(model, x, partial(_changed_by, tuple(changes.values())), _Measure(model, CLOSELY, 0))
    if isinstance(both, nn.Module):
        return both
    if not both:
        return model
    made, refused = model, dict[str, list[str]]()
    for number, (what, change) in enumerate(changes.items(), 1):
        done = _changed(made, x, change, _Measure(model, CLOSELY, number))
        if isinstance(done, nn.Module):
            made = done
        elif done:
            refused.setdefault(done, []).append(what)
    if refused:
        copies = ", and ".join(f"{' or '.join(what)} {why}" for why, what in refused.items())
        note(f"attacks may take longer, and find the same: a copy of the model {copies}, and is not used")
    return made


def in_bfloat16(model: nn.Module, x: Tensor, note: Callable[[str], None]) -> nn.Module | None:
    """A copy that computes in bfloat16 but for its first layer, from float32 to float32.

    Pixels and what the first layer makes of them stay in float32: in bfloat16 neighbouring pixel values of
    8 bits are the same number, and a small perturbation is none.

    Args:
        model: as for `working_copy`.
        x: images to compare the logits on.
        note: is told in a sentence why there is none.

    Returns:
        The copy; None where the network cannot compute so.
    """
    done = _changed(model, x, _lowered, _Measure(model, ROUGHLY, _LOWERED))
    if isinstance(done, nn.Module):
        return done
    if done:
        note(f"attacking in float32: the model in bfloat16 {done}")
    return None


class _Measure(NamedTuple):
    """What a copy has to agree with."""

    original: nn.Module
    tolerance: Tolerance
    number: int
    """Of the look at it, see `disagreement`."""


def _changed(model: nn.Module, x: Tensor, change: _Change, measure: _Measure) -> nn.Module | str:
    """The model with a change; or why there is none, empty where there is nothing to change."""
    try:
        with torch.no_grad():  # what a module keeps of a pass can be copied where it has no graph
            model(x)
    except Exception:  # a model that cannot be run at all: the clean pass says so better
        return ""
    try:
        made = copy.deepcopy(model)
        if _has_parts_of(made, model):
            return "has parts of the model itself"
        if not change(made, x):
            return ""
        why = disagreement(measure.original, made, x, measure.tolerance, measure.number)
    except Exception as error:  # a user's model may do anything with its copy
        if ran_out_of_memory(error):  # the batch will be halved, and that is said
            return ""
        return f"fails ({type(error).__name__}: {printable(first_line(error))})"
    return why or made.eval().requires_grad_(False)


def _has_parts_of(made: nn.Module, model: nn.Module) -> bool:
    """Whether a copy holds modules or tensors of the model, as one with a `__deepcopy__` of its own may.

    What is done to such a copy is done to the model.
    """
    parts = [
        {*map(id, [*network.modules(), *network.parameters(), *network.buffers()])}
        for network in (made, model)
    ]
    return not parts[0].isdisjoint(parts[1])


def _changed_by(changes: Sequence[_Change], model: nn.Module, x: Tensor) -> bool:
    """Make several changes to a model; whether there was anything to change."""
    made = [change(model, x) for change in changes]
    return any(made)


def _folded(model: nn.Module, x: Tensor, places: Collection[str]) -> bool:
    given = _given(model, x)
    count_also(model, x)
    return fold_batch_norm(network_of(model), given, places) > 0


def _channels_last(model: nn.Module, _x: Tensor) -> bool:
    images = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    model.to(memory_format=torch.channels_last)
    return bool(images)


def _lowered(model: nn.Module, x: Tensor) -> bool:
    network = network_of(model)
    given = _given(model, x)
    count_also(model, x)
    first = _first_layer(network, given)
    kept = set() if first is None else {id(tensor) for tensor in (*first.parameters(), *first.buffers())}
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point() and id(tensor) not in kept:
            tensor.data = tensor.data.to(torch.bfloat16)
    if first is None:
        model.register_forward_pre_hook(lambda _module, inputs: (inputs[0].to(torch.bfloat16),))
    else:
        first.register_forward_hook(_to_bfloat16)
    model.register_forward_hook(_to_float32)
    return True


def _to_bfloat16(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    return output.to(torch.bfloat16)


def _to_float32(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    return output.float()


def _first_layer(network: nn.Module, x: Tensor) -> nn.Module | None:
    """The first module with parameters of its own and no modules below it that a forward pass calls."""
    called: list[nn.Module] = []

    def watch(module: nn.Module, _inputs: Any, _output: Any) -> None:
        called.append(module)

    leaves = [
        module for module in network.modules() if list(module.parameters()) and not list(module.children())
    ]
    watch_forward(network, x, leaves, watch)
    return called[0] if called else None


@torch.no_grad()
def _given(model: nn.Module, x: Tensor) -> Tensor:
    """What the user's own network is given for some images."""
    network, given = network_of(model), list[Tensor]()
    if network is model:
        return x
    handle = network.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    try:
        model(x)
    finally:
        handle.remove()
    return given[0]
