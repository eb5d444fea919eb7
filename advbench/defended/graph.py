"""The graph that autograd keeps of how one tensor was computed from another."""

from collections.abc import Iterator

from torch import Tensor
from torch.autograd.graph import Node


def nodes_between(x: Tensor, y: Tensor) -> Iterator[Node]:
    """Every node of the graph from `y` back to `x`, each once, the last computed first.

    Args:
        x: where the walk ends, a leaf or not.
        y: where it begins; without a graph there are no nodes.
    """
    start = y.grad_fn
    waiting = [] if start is None or start is x.grad_fn else [start]
    seen = {x.grad_fn, start}
    while waiting:
        node = waiting.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
