"""Several networks as one classifier, with a place where their logits stand side by side."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from advbench.errors import DefenseError, ModelError

MEMBERS: Final = "members"
"""The place of an ensemble at which its members' logits `(n, members, k)` can be defended."""


class Members(nn.Module):
    """Networks of the same classes as one: the mean of their logits, unless a defense says otherwise.

    Their logits stand side by side, `(n, members, k)`, at the place `members`. A defense there keeps that
    shape, and the mean over the members follows it: the defense `ensemble-vote` gives each member the votes,
    `ensemble-pick` the logits of one. So the row without a defense is the usual soft ensemble, and BPDA,
    substitutes and draws hold for an ensemble as for any defense. All members are computed, whichever is
    picked.

    Args:
        networks: pixels `(n, c, h, w)` to logits `(n, k)`, two or more.

    Raises:
        ModelError: fewer.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(networks) < 2:
            raise ModelError(f"an ensemble has two members or more, got {len(networks)}.")
        self.networks = nn.ModuleList(networks)
        self.members = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        return side_by_side([network(x) for network in self.networks], self.members)


class Heads(nn.Module):
    """A network some of whose modules give logits, as an ensemble of these.

    Args:
        network: pixels `(n, c, h, w)` to anything; each of the modules is called once in its forward pass.
        names: of the modules, as in `network.named_modules()`, two or more.

    Raises:
        ModelError: fewer, or a name that the network does not have.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        known = dict(network.named_modules())
        missing = [name for name in names if name not in known]
        if missing:
            raise ModelError(f"the network has no module {missing[0]!r} to be a member of an ensemble.")
        if len(set(names)) < 2:
            raise ModelError(f"an ensemble has two members or more, got {len(set(names))}.")
        self.network = network
        self.names = tuple(dict.fromkeys(names))
        self.members = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        logits: dict[str, Tensor] = {}
        handles = [
            self.network.get_submodule(name).register_forward_hook(partial(_keep, logits, name))
            for name in self.names
        ]
        try:
            self.network(x)
        finally:
            for handle in handles:
                handle.remove()
        uncalled = [name for name in self.names if name not in logits]
        if uncalled:
            raise ModelError(
                f"the network never called its module {uncalled[0]!r}, a member of the ensemble."
            )
        return side_by_side([logits[name] for name in self.names], self.members)


def _keep(logits: dict[str, Tensor], name: str, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
    logits[name] = output


def side_by_side(logits: Sequence[Tensor], place: nn.Module) -> Tensor:
    """The mean of the members' logits behind a place where a defense may stand, `(n, k)`.

    Args:
        logits: of each member, `(n, k)`.
        place: a module that passes on what it is given.

    Raises:
        ModelError: logits of different shapes.
        DefenseError: a defense that does not keep the shape `(n, members, k)`.
    """
    shapes = list(dict.fromkeys(tuple(one.shape) for one in logits))
    if len(shapes) > 1 or len(shapes[0]) != 2:
        raise ModelError(f"the members of an ensemble must return logits of one shape (n, k), got {shapes}.")
    stacked = torch.stack(list(logits), dim=1)
    kept: Tensor = place(stacked)
    if kept.shape != stacked.shape:
        raise DefenseError(
            f"a defense at {MEMBERS!r} must keep the shape {tuple(stacked.shape)}, got {tuple(kept.shape)}."
        )
    return kept.mean(1)
