"""The contract of a model, checked where it first meets images."""

from functools import partial

import torch
from torch import Tensor, nn

from advbench.defended import network_of
from advbench.errors import AdvbenchError, ModelError, first_line
from advbench.memory import ran_out_of_memory


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
    shape, version = tuple(x.shape[1:]), x._version
    try:
        logits = model(x)
    except AdvbenchError:
        raise
    except Exception as error:  # the model's code may raise anything
        if ran_out_of_memory(error):
            raise
        raise ModelError(f"the model cannot take images of shape {shape}: {first_line(error)}") from error
    if x._version != version:
        raise ModelError("the model or the defense changes its input in place; give it a copy (x.clone()).")
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(f"the model must return logits ({len(x)}, classes) for {len(x)} images, got {got}.")
    if not logits.is_floating_point():
        raise ModelError(f"the model must return logits, got {logits.dtype}.")
    if int(y.max()) >= logits.shape[1]:
        raise ModelError(
            f"the model has {logits.shape[1]} classes and cannot hold label {int(y.max())}. "
            "Is it the right model for this data set?"
        )
    if not bool(logits.isfinite().all()):
        raise ModelError(_describe_non_finite(model, x, logits))
    return logits


@torch.enable_grad()
def check_substitutes(model: nn.Module, x: Tensor) -> None:
    """Take one gradient through a model with BPDA, so that a substitute that does not fit is found at once.

    Raises:
        DefenseError: it does not fit.
    """
    x = x[:1].detach().clone().requires_grad_()
    logits = model(x)
    if logits.requires_grad:
        torch.autograd.grad(logits.sum(), x, allow_unused=True)


def _describe_non_finite(model: nn.Module, x: Tensor, logits: Tensor) -> str:
    count = int((~logits.isfinite().all(1)).sum())
    layer = _first_non_finite(model, x)
    where = f" They first appear in the output of {layer!r}." if layer else ""
    return f"the model returns NaN or infinite logits for {count} of {len(x)} clean images.{where}"


def _first_non_finite(model: nn.Module, x: Tensor) -> str | None:
    """Name of the network's first leaf module whose output is not finite, by running the model once more."""
    found: list[str] = []

    def watch(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if not found and isinstance(output, Tensor) and not bool(output.isfinite().all()):
            found.append(name)

    leaves = {
        name: each for name, each in network_of(model).named_modules() if name and not list(each.children())
    }
    handles = [each.register_forward_hook(partial(watch, name)) for name, each in leaves.items()]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
