"""Logits out of networks that return more than logits: tuples, dictionaries, output objects of libraries."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.left_as_found import prepared
from advbench.defended.output_kinds import ReadAs, kind_of, words_of
from advbench.defended.own_precision import in_float32


class Way(NamedTuple):
    """Where the logits are in what a network returns."""

    words: str
    """For people: `its first element`."""
    take: Callable[[Any], Any]


def way_to_logits(output: Any) -> Way | None:
    """Where the logits are in what a network returns: `.logits`, `["logits"]`, or the first of a sequence.

    Args:
        output: no tensor.

    Returns:
        None where none of these is a tensor.
    """
    ways = [
        Way("its .logits", lambda returned: returned.logits),
        Way("its ['logits']", lambda returned: returned["logits"]),
        Way("its first element", lambda returned: None if isinstance(returned, Mapping) else returned[0]),
        Way(
            "its one entry",
            lambda returned: (
                next(iter(returned.values()))
                if isinstance(returned, Mapping) and len(returned) == 1
                else None
            ),
        ),
    ]
    return next((way for way in ways if isinstance(_tried(way, output), Tensor)), None)


def _tried(way: Way, output: Any) -> Any:
    try:
        return way.take(output)
    except Exception:  # an object of some library may raise anything
        return None


class LogitsOf(nn.Module):
    """A network of whose outputs the logits alone are handed on.

    Args:
        network: pixels `(n, c, h, w)` to something that holds logits.
        way: where they are.
    """

    def __init__(self, network: nn.Module, way: Way) -> None:
        super().__init__()
        self.network = network
        self.take = way.take

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`; an output that is a tensor by itself is handed on."""
        output = self.network(x)
        logits: Tensor = output if isinstance(output, Tensor) else self.take(output)
        return in_float32(logits)


def logits_alone(
    network: nn.Module, x: Tensor, more: Callable[[], Tensor] | None = None
) -> tuple[nn.Module, tuple[str, ...]]:
    """A network that returns logits, and words on how; it is called once, on a few images.

    Args:
        network: what a user named.
        x: images as the network takes them, `(n, c, h, w)`.
        more: gives further images, which it is shown where its numbers seem to be no logits, but
            probabilities or one number for two classes; None to take all numbers for logits.

    Returns:
        The network itself and no words where it returns logits, or nothing that holds any, or fails: who
        checks its logits will say so.
    """
    devices = [x.device] if x.device.type == "cuda" else []
    with prepared(network), torch.no_grad(), torch.random.fork_rng(devices=devices):
        try:
            output: Any = network(x)
        except Exception:  # the user's network may raise anything
            return network, ()
        way = None if isinstance(output, Tensor) else way_to_logits(output)
        words: tuple[str, ...] = ()
        if way is not None:
            words = (f"the model returns {type(output).__name__}; {way.words} is taken for the logits",)
            network, output = LogitsOf(network, way), way.take(output)
        if more is None or not isinstance(output, Tensor) or kind_of(output, len(x)) is None:
            return network, words
        several = more()
        kind = kind_of(network(several), len(several))
    if kind is None:
        return network, words
    return ReadAs(network, kind), (*words, words_of(kind))
