"""The contract of a model, checked where it first meets images."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from advbench.defended.logits import way_to_logits
from advbench.defended.model import DefendedModel, may_be_nan, network_of
from advbench.errors import ModelError
from advbench.names.user_code import told_as


@torch.no_grad()
def checked_logits(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Logits of clean images from a model that keeps its contract.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: clean images.
        y: labels, `(n,)`.

    Raises:
        ModelError: the model refuses the images' shape, returns something else than finite logits
            `(n, k)`, or has too few classes for the labels.
    """
    shape = tuple(x.shape[1:])
    cannot = f"the model cannot take images of shape {shape}"
    with told_as(ModelError, cannot), _input_watched(model) as spoiled:
        logits = model(x)
    if spoiled:
        raise ModelError("the model changes its input in place; let it work on a copy (x.clone()).")
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x):
        raise ModelError(_describe_shape(logits, len(x)))
    if not logits.is_floating_point():
        raise ModelError(f"the model must return logits, got {logits.dtype}.")
    if logits.shape[1] == 1:
        raise ModelError(f"the model returns one logit an image, {tuple(logits.shape)}; {_TWO_LOGITS}")
    if int(y.max()) >= logits.shape[1]:
        raise ModelError(
            f"the model has {logits.shape[1]} classes and cannot hold label {int(y.max())}. "
            "Is it the right model for this data set?"
        )
    decided = _decided(model, logits)
    if not bool((decided.isfinite() | (decided.isnan() & may_be_nan(model))).all()):
        raise ModelError(_describe_non_finite(model, x, logits))
    return logits


def _decided(model: nn.Module, logits: Tensor) -> Tensor:
    """The logits, without those of images to which a defense that may abstain gives no class."""
    abstains = isinstance(model, DefendedModel) and model.abstains
    return logits[~logits.isnan().all(1)] if abstains else logits


@contextmanager
def _input_watched(model: nn.Module) -> Iterator[list[bool]]:
    """Whether the classifier itself, behind all defenses, writes over what it is given, told in a list.

    What a defended model is given says nothing: the classifier sees a copy of it where a batch is filled up.
    """
    spoiled: list[bool] = []
    given: list[Tensor] = []

    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given[:] = [inputs[0].clone()]

    def after(_module: nn.Module, inputs: tuple[Tensor, ...], _output: object) -> None:
        if not _same(inputs[0], given[0]):
            spoiled.append(True)

    classifier = model.model if isinstance(model, DefendedModel) else model
    handles = [classifier.register_forward_pre_hook(before), classifier.register_forward_hook(after)]
    try:
        yield spoiled
    finally:
        for handle in handles:
            handle.remove()


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, where NaN is one of them."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


_FEW = 8  # images: that one of them has no gradient is usual


@torch.enable_grad()
def check_substitutes(model: nn.Module, x: Tensor) -> None:
    """Take one gradient through a model with BPDA, so that a substitute that does not fit is found at once.

    Raises:
        DefenseError: it does not fit.
    """
    x = x[:_FEW].detach().clone().requires_grad_()
    logits = model(x)
    if logits.requires_grad:
        torch.autograd.grad(logits.sum(), x, allow_unused=True)


_TWO_LOGITS = (
    "a binary classifier is attacked through two: return torch.cat([torch.zeros_like(z), z], 1) for its "
    "logit z (n, 1)."
)


def _describe_shape(output: object, count: int) -> str:
    """What a model returned in place of logits, and what to do."""
    got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    wanted = f"the model must return logits ({count}, classes) for {count} images, got {got}."
    if isinstance(output, Tensor):
        is_single = output.shape == (count,) and output.is_floating_point()
        return f"{wanted} {_TWO_LOGITS[0].upper()}{_TWO_LOGITS[1:]}" if is_single else wanted
    way = way_to_logits(output)
    advice = "Return its logits alone"
    if way is not None:
        advice = f"Wrap it in a module whose forward returns {way.words.removeprefix('its ')} of that"
    return f"{wanted} {advice}."


def _describe_non_finite(model: nn.Module, x: Tensor, logits: Tensor) -> str:
    count = int((~logits.isfinite().all(1)).sum())
    layer = _first_non_finite(model, x)
    where = f" They first appear in the output of {layer!r}." if layer else ""
    return f"the model returns NaN or infinite logits for {count} of {len(x)} clean images.{where}"


def _first_non_finite(model: nn.Module, x: Tensor) -> str | None:
    """Name of the network's first leaf module whose output is not finite, by running the model once more."""
    names: list[str] = []

    def watch(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if not names and isinstance(output, Tensor) and not bool(output.isfinite().all()):
            names.append(name)

    leaves = {
        name: layer
        for name, layer in network_of(model).named_modules()
        if name and not list(layer.children())
    }
    handles = [leaf.register_forward_hook(partial(watch, name)) for name, leaf in leaves.items()]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return names[0] if names else None
