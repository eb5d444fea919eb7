"""A network whose last layer makes way for a linear readout an image, on frozen features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.own_precision import in_float32

_BELOW = 5.0  # how far below the two classes of the readout the others stay


class Readout(NamedTuple):
    """Linear readouts of features, one an anchor image.

    Args:
        anchors: the images that the readouts belong to, `(m, c, h, w)`.
        weights: `(m, d)`.
        biases: `(m,)`; the score `w . features + b` is positive on the side of class 1.
        classes: how many logits to give, at least 2; the network's own number, which attacks may rely on.
        distance: of images `(n, c, h, w)` from an anchor, `(n,)`.
    """

    anchors: Tensor
    weights: Tensor
    biases: Tensor
    classes: int
    distance: Callable[[Tensor, Tensor], Tensor]


class Readouts(nn.Module):
    """A network that gives its features, or the logits of linear readouts of them.

    Features are what goes into the module that makes the logits; where no module's output is the logits as
    they are, so that the network goes on computing after its last layer, the logits are the features.

    Args:
        network: pixels `(n, c, h, w)` to logits `(n, k)`.
        example: an image or more, `(n, c, h, w)`, by which the last layer is found.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.network = network
        self.head = last_layer(network, example)
        self.readout: Readout | None = None
        self.rows = torch.zeros(0, dtype=torch.int64)

    def choose(self, x: Tensor) -> None:
        """Read the images that follow, `(n, c, h, w)` before any defense, by the nearest anchor's readout."""
        assert self.readout is not None
        gaps = [self.readout.distance(x, anchor.unsqueeze(0)) for anchor in self.readout.anchors]
        self.rows = torch.stack(gaps).argmin(0)

    def forward(self, x: Tensor) -> Tensor:
        """The features `(n, d)` where there is no readout yet, else its logits `(n, classes)`."""
        features = self._features(x)
        if self.readout is None:
            return features
        weights, biases = self.readout.weights[self.rows], self.readout.biases[self.rows]
        score = (features * weights).sum(1) + biases
        # Losses with a third logit in their denominator stay defined; the other classes never win.
        others = (-score.abs() / 2.0 - _BELOW).detach().unsqueeze(1)
        two = torch.stack([-score / 2.0, score / 2.0], dim=1)
        return torch.cat([two, others.expand(-1, self.readout.classes - 2)], dim=1)

    def _features(self, x: Tensor) -> Tensor:
        if self.head is None:
            logits: Tensor = self.network(x)
            return logits.flatten(1)
        with _inputs_of(self.head) as inputs:
            self.network(x)
        return in_float32(inputs[-1]).flatten(1)


def last_layer(network: nn.Module, x: Tensor) -> nn.Module | None:
    """The module without parts of its own whose output is the network's logits, as they are.

    Args:
        network: pixels to logits.
        x: images, `(n, c, h, w)`.

    Returns:
        None where the logits are computed outside of any such module.
    """
    calls: list[tuple[nn.Module, Tensor]] = []

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            calls.append((module, output))

    leaves = [module for module in network.modules() if not list(module.children()) and module is not network]
    handles = [leaf.register_forward_hook(watch) for leaf in leaves]
    try:
        with torch.no_grad():
            logits = network(x)
    finally:
        for handle in handles:
            handle.remove()
    heads = [
        leaf
        for leaf, output in calls
        if output.shape == logits.shape and torch.equal(output.to(logits.dtype), logits)
    ]
    return heads[0] if heads else None


@contextmanager
def _inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What a module is given meanwhile."""
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _module, given: inputs.append(given[0]))
    try:
        yield inputs
    finally:
        handle.remove()
