"""Whether a defended model's answers are a function of each image alone, and where not, why."""

import copy
from collections.abc import Iterator
from functools import partial
from math import ceil
from typing import Any, Final

import torch
from torch import Tensor, nn

from advbench.defended.backward import name_of
from advbench.defended.model import DefendedModel
from advbench.defended.random_model import draws_inside

PASSES: Final = 14
"""Times that a few images are shown again: a model that tosses a coin at each call answers all of them alike
once in 2^14 = 16,384 runs."""

FEW: Final = 8
"""Images of these passes, and of the small batches that are compared with the whole one."""

DIFFERS_WITH_GRADIENTS: Final = (
    "the model answers otherwise where a gradient is taken, so that attacks see another model than the judge "
    "(a fused kernel that passes over your own module? torch.backends.mha.set_fastpath_enabled(False))"
)

_ITSELF: Final = (
    "the model changes itself when it answers (--episodic 64 puts it back before every batch of 64, "
    "--stream 64 lets it go on)"
)

_SAME = 1e-5
"""How far, relative to the largest logit, two passes may differ by the order of a device's sums."""

_ALONE = 0.02
"""How far, relative to the largest logit, rounding may move an image's logits between batch sizes. Loose,
since a quantiser inside the network makes a whole step of the last bit."""


@torch.no_grad()
def doubts_about(model: DefendedModel, x: Tensor, y: Tensor, logits: Tensor) -> list[str]:
    """What keeps a defended model's answers from being a function of each image alone, a sentence each.

    Randomness is excluded first, by the same few images again and again; only then can another answer in
    another batch be the batch's doing. A random defense gets the same draws in every pass, so that two passes
    differ only where something draws from a generator of the process.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: clean images.
        y: their labels, `(n,)`.
        logits: what the model said of them, `(n, k)`.
    """
    before = _state(model.model)
    if _is_random(model, x, logits):
        why = _who_differs(model, x, changes_itself=_state(model.model) != before)
        return [f"two passes over the same images differ: {why}; the table is random too"]
    if _depends_on_batch(model, x, logits):
        return [_batches_told(model, x, y, logits)]
    return [DIFFERS_WITH_GRADIENTS] if _differs_with_gradients(model, x, logits) else []


def _is_random(model: DefendedModel, x: Tensor, logits: Tensor) -> bool:
    few = x[:FEW]
    first = model(few)
    # Each draw of a random defense is a call of the network too.
    again = ceil(PASSES / len(model.draws()))
    return any(not near(model(few), first, _SAME) for _ in range(again)) or not near(model(x), logits, _SAME)


def _depends_on_batch(model: DefendedModel, x: Tensor, logits: Tensor) -> bool:
    """Whether the first images get other logits among few, in another order, or alone."""
    few, known = x[:FEW], logits[:FEW]
    return any(
        not near(answer, wanted, _ALONE)
        for answer, wanted in (
            (model(few), known),
            (model(few.flip(0)).flip(0), known),
            (_unfilled(model, x[:1], known[:1]), known[:1]),
        )
    )


def _unfilled(model: DefendedModel, x: Tensor, otherwise: Tensor) -> Tensor:
    """Logits of a batch as it is, not filled up; `otherwise` where the model refuses its size."""
    bare = copy.copy(model)
    bare.lanes = 1
    try:
        logits: Tensor = bare(x)
        return logits
    except Exception:  # a network that was written or exported for one batch size
        return otherwise


@torch.enable_grad()
def _differs_with_gradients(model: DefendedModel, x: Tensor, logits: Tensor) -> bool:
    """Whether a few images get other logits where autograd follows, as it does while they are attacked.

    torch's own example: in evaluation mode `TransformerEncoderLayer` runs a fused kernel, which does not call
    modules that stand in its place, unless a gradient is wanted.
    """
    try:
        followed = model(x[:FEW].detach().requires_grad_()).detach()
    except Exception:  # of a model that cannot be differentiated the attacks say more
        return False
    return not near(followed, logits[:FEW], _ALONE)


def near(answer: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether logits are those that are wanted, up to a part of the largest one."""
    if torch.equal(answer, wanted):
        return True
    largest = float(wanted.nan_to_num().abs().max())  # what abstains or refuses is NaN, and is so again
    return torch.allclose(answer, wanted, rtol=tolerance, atol=tolerance * largest, equal_nan=True)


def _batches_told(model: DefendedModel, x: Tensor, y: Tensor, logits: Tensor) -> str:
    """That the batch matters, and how much it does to the clean accuracy."""
    whole = min(len(x), model.at_once or len(x))
    small = FEW if whole > FEW else 1
    answers = torch.cat(
        [
            _unfilled(model, x[first : first + small], logits[first : first + small])
            for first in range(0, len(x), small)
        ]
    )
    judged, alone = (100 * float((outputs.argmax(1) == y).float().mean()) for outputs in (logits, answers))
    return (
        "an image's logits depend on its batch (BatchNorm in training mode?): clean accuracy is "
        f"{judged:.0f} % in batches of {whole}, in which everything here is judged, and {alone:.0f} % "
        f"{'one by one' if small == 1 else f'in batches of {small}'}; --episodic {whole} judges it in "
        "declared batches"
    )


def _who_differs(model: DefendedModel, x: Tensor, *, changes_itself: bool) -> str:
    """Which elements of a defense answer the same input differently, or else the model: some more passes."""
    looks = PASSES // 2 if len(model.stages) else 0
    guilty = sorted({number for _ in range(looks) for number in _guilty(model, x[:FEW])})
    if not guilty and changes_itself:
        return _ITSELF
    if not guilty:
        if draws_inside(model):
            return "the model draws from a generator that nobody can seed from outside (one of its own?)"
        return "the model is random (--random-model gives it draws of its own for each image)"
    names: list[str] = []
    for number in guilty:
        defense: Any = model.stages[number].defense
        names.append(f"{name_of(defense)} at {model.places[number]}")
    return (
        f"{' and '.join(names)} draws from a generator of the process (declare `random = True`, and take "
        "draws from the parameter `draws`)"
    )


def _state(model: nn.Module) -> list[tuple[int, int]]:
    """Which tensors a model has, and how often each was written to."""
    return [(id(tensor), tensor._version) for tensor in (*model.parameters(), *model.buffers())]


def _guilty(model: DefendedModel, x: Tensor) -> Iterator[int]:
    """The stages whose outputs differ between two passes although their inputs do not."""
    seen: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def watch(number: int, _stage: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.setdefault(number, []).append((inputs[0].clone(), output.clone()))

    handles = [
        stage.register_forward_hook(partial(watch, number)) for number, stage in enumerate(model.stages)
    ]
    try:
        for _ in range(2):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    for number, passes in seen.items():
        half = len(passes) // 2
        pairs = zip(passes[:half], passes[half:], strict=True)
        if any(torch.equal(a, b) and not torch.equal(c, d) for (a, c), (b, d) in pairs):
            yield number
