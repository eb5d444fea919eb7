"""Adversarially perturbed batch normalization (APART): two passes a training step, in four lines."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from advbench.errors import ApartError, ModelError
from advbench.training.batch_norm import (
    BatchNorm,
    Offsets,
    forwards_replaced,
    offset_batch_norm,
    training_layers,
)
from advbench.training.shared_statistics import group_of


class APART:
    """Train BatchNorm against the worst small error of its statistics.

    A first pass, *proxy*, is plain training, and finds for each layer the gradient of the loss with respect
    to offsets `d_mean` and `d_var` of its statistics, which are 0. A second pass, *adver*, over the first
    images of the batch, is computed with `d = epsilon * sign(gradient)`; running statistics are left as they
    were, and no gradient goes into `d`. "Adversarially Perturbed Batch Normalization: A Simple Way to
    Improve Image Recognition"; `batch_norm.offset_batch_norm` has the formula.

        apart = APART(model, epsilon, groups)
        for x, y in batches:
            optimizer.zero_grad()
            with apart.to_proxy():
                (r * loss_function(model(x), y)).backward()
            with apart.to_adver():
                ((1 - r) * loss_function(model(x[:n]), y[:n])).backward()
            optimizer.step()

    with `r = batch_size / (batch_size + n)`. Several proxy passes before an adver pass add their gradients
    up. Layers in evaluation mode are frozen, and compute as ever. Between the passes nothing of this is on
    the model: its `state_dict`, pickles and copies are what they would be without. It may be compiled, and
    wrapped in `DistributedDataParallel`; processes share the offsets of those layers whose statistics they
    share (`SyncBatchNorm`).

    Args:
        model: has BatchNorm1d, 2d or 3d or SyncBatchNorm layers, affine or not.
        epsilon: relative size of the perturbation of means and standard deviations.
        groups: in how many interleaved groups (image `i` in group `i mod groups`) the adver pass takes its
            statistics; it must divide their number of images. 0 and 1 mean one group.

    Raises:
        ModelError: a model without BatchNorm.
        ApartError: a number outside its range; and where contexts are used out of turn.
    """

    def __init__(self, model: nn.Module, epsilon: float = 0.1, groups: int = 0) -> None:
        if not any(isinstance(module, BatchNorm) for module in model.modules()):
            raise ModelError(
                f"APART perturbs BatchNorm, and {type(model).__name__} has no BatchNorm1d, 2d, 3d or "
                "SyncBatchNorm layer."
            )
        if any(isinstance(module, nn.DataParallel) for module in model.modules()):
            raise ModelError("APART cannot follow DataParallel's copies; use DistributedDataParallel.")
        if groups < 0:
            raise ApartError(f"groups must be 0 or more, got {groups}.")
        self.model = model
        self.groups = groups
        self.set_epsilon(epsilon)
        self._layers: dict[BatchNorm, _Layer] = {}
        self._called: _Pass | None = None

    def set_epsilon(self, epsilon: float) -> None:
        """Change the size of the perturbation, from the next adver pass on.

        Raises:
            ApartError: negative or not finite.
        """
        if not 0.0 <= epsilon < float("inf"):
            raise ApartError(f"epsilon must be 0 or more, got {epsilon}.")
        self.epsilon = epsilon

    def to_proxy(self) -> AbstractContextManager[None]:
        """The context of the first pass: plain BatchNorm, and the offsets' gradients are kept.

        Raises:
            ApartError: not written as a `with` statement, or inside another pass.
        """
        return self._next(self._proxy())

    def to_adver(self) -> AbstractContextManager[None]:
        """The context of the second pass: statistics are perturbed, and the offsets' gradients used up.

        Raises:
            ApartError: not written as a `with` statement, inside another pass, or without a proxy pass that
                has left gradients.
        """
        return self._next(self._adver())

    def gradients(self) -> dict[str, Offsets]:
        """The loss's gradients with respect to the offsets since the last adver pass, by the layers' names.

        Layers that no gradient has reached are left out.
        """
        return {
            name: Offsets(grads[0], grads[1])
            for name, layer in self.model.named_modules()
            if isinstance(layer, BatchNorm)
            and layer in self._layers
            and (grads := self._layers[layer].gradients())
        }

    def _next(self, entered: AbstractContextManager[None]) -> "_Pass":
        if self._called is not None and self._called.state != "left":
            where = "inside another pass" if self._called.state == "entered" else "after one without 'with'"
            raise ApartError(
                f"a pass of APART was called {where}; write 'with apart.to_proxy():' and then "
                "'with apart.to_adver():', one after the other."
            )
        self._called = _Pass(entered)
        return self._called

    @contextmanager
    def _proxy(self) -> Iterator[None]:
        kept = self._present()
        for state in kept.values():
            state.set_to_zero()
        try:
            with forwards_replaced({layer: state.proxy for layer, state in kept.items()}):
                yield
        except BaseException:
            self._forget()  # of a batch that was not finished
            raise

    @contextmanager
    def _adver(self) -> Iterator[None]:
        kept = {layer: state for layer, state in self._present().items() if state.gradients()}
        if not kept:
            raise ApartError(
                "to_adver() needs the gradients of a proxy pass before it: run the model and backward() on "
                "its loss inside 'with apart.to_proxy():' first."
            )
        _sum_over_processes(kept)
        for state in kept.values():
            state.climb(self.epsilon)
        self._forget()
        with forwards_replaced({layer: state.adver for layer, state in kept.items()}):
            yield

    def _present(self) -> "dict[BatchNorm, _Layer]":
        """The layers that are there now, which conversions and moves may have changed since the last pass."""
        layers = training_layers(self.model)
        anchors = [_anchor(layer, self.model) for layer in layers]
        self._layers = {
            layer: known
            if (known := self._layers.get(layer)) is not None and known.fits(anchor)
            else _Layer.on(layer, anchor, self.groups)
            for layer, anchor in zip(layers, anchors, strict=True)
        }
        return self._layers

    def _forget(self) -> None:
        for layer in self._layers.values():
            layer.offsets.mean.grad = layer.offsets.var.grad = None


@dataclass(frozen=True)
class _Layer:
    """A layer's offsets, and what it computes in each pass.

    All three stay the same objects from step to step, or a compiled model would be compiled again.
    """

    offsets: Offsets
    proxy: "partial[Tensor]"
    adver: "partial[Tensor]"

    @classmethod
    def on(cls, layer: BatchNorm, anchor: Tensor, groups: int) -> "_Layer":
        mean, var = (anchor.new_zeros(layer.num_features).requires_grad_() for _ in range(2))
        fixed = Offsets(mean.detach(), var.detach())
        return cls(
            Offsets(mean, var),
            partial(offset_batch_norm, layer, Offsets(mean, var, zero=True), 0, True),
            partial(offset_batch_norm, layer, fixed, groups, False),
        )

    def fits(self, anchor: Tensor) -> bool:
        mean = self.offsets.mean
        return (mean.device, mean.dtype) == (anchor.device, anchor.dtype)

    def gradients(self) -> list[Tensor]:
        """Of `d_mean` and `d_var`, `(c,)` each; none where no backward pass has come by."""
        return [offset.grad for offset in (self.offsets.mean, self.offsets.var) if offset.grad is not None]

    @torch.no_grad()
    def set_to_zero(self) -> None:
        self.offsets.mean.zero_()
        self.offsets.var.zero_()

    @torch.no_grad()
    def climb(self, epsilon: float) -> None:
        for offset, grad in zip((self.offsets.mean, self.offsets.var), self.gradients(), strict=True):
            offset.copy_(epsilon * grad.sign())


class _Pass:
    """A context that knows whether it was entered, as a call without `with` would do nothing, silently."""

    def __init__(self, context: AbstractContextManager[None]) -> None:
        self.context = context
        self.state = "called"

    def __enter__(self) -> None:
        self.state = "entered"
        try:
            self.context.__enter__()
        except BaseException:
            self.state = "left"
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.state = "left"
        return self.context.__exit__(kind, error, trace)


def _anchor(layer: BatchNorm, model: nn.Module) -> Tensor:
    """A tensor of the device and the type that a layer's offsets must have."""
    own = chain(layer.parameters(), layer.buffers(), model.parameters())
    return next((buffer.detach() for buffer in own if buffer.is_floating_point()), torch.zeros(()))


def _sum_over_processes(kept: dict[BatchNorm, _Layer]) -> None:
    """Let processes that share a layer's statistics agree on its offsets; one exchange for all layers."""
    shared: dict[Any, list[Tensor]] = {}
    for layer, state in kept.items():
        if (group := group_of(layer)) is not None:
            shared.setdefault(group, []).extend(state.gradients())
    for group, grads in shared.items():
        total = torch.cat(grads)
        dist.all_reduce(total, group=group)
        begin = 0
        for grad in grads:
            grad.copy_(total[begin : begin + len(grad)])
            begin += len(grad)
