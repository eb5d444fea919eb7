"""Counts the images that go through a network, and the gradients that come back, on any machine the same."""

from collections import OrderedDict
from typing import Any, NamedTuple

from torch import Tensor, nn


class Passes(NamedTuple):
    """Images that went through a network, and gradients that came back."""

    forward: int
    backward: int


class Meter:
    """A forward hook that counts images; copies of its network count into the same meter."""

    def __init__(self) -> None:
        self.forward = self.backward = 0

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Meter":
        return self

    def __call__(self, _module: nn.Module, _inputs: tuple[Tensor, ...], x: Tensor) -> Tensor:
        """What a module returns, `(n, ...)`, counted."""
        self.forward += len(x)
        if x.requires_grad:
            x = x.view_as(x)  # a tensor of this pass alone, so that the hook hears of no other
            x.register_hook(self._went_back)  # type: ignore[no-untyped-call]  # torch has no types here
        return x

    def _went_back(self, grad: Tensor) -> None:
        self.backward += len(grad)

    @property
    def passes(self) -> Passes:
        """What was counted so far."""
        return Passes(self.forward, self.backward)


def metered(network: nn.Module) -> tuple[nn.Module, Meter]:
    """A network, called `network` in its new place, behind a module that does nothing but count."""
    meter, entrance = Meter(), nn.Identity()
    entrance.register_forward_hook(meter)
    return nn.Sequential(OrderedDict(entrance=entrance, network=network)).eval(), meter
