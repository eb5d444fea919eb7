"""How many passes through the network an attack may take."""

from typing import Any, Final

from advbench.threat.attack import Attack

_FORWARD: Final = 1 / 3  # of a forward and a backward pass


def gradient_passes(attack: Attack) -> float | None:
    """Forward and backward passes an image, at most; a query counts as a part of one.

    Args:
        attack: one with `steps` or `queries`, and perhaps `restarts` and `targets`, or one made of others;
            None for others, whose passes cannot be told.
    """
    legs: Any = getattr(attack, "legs", None)
    if legs is not None:
        passes = [gradient_passes(leg.attack) for leg in legs.values()]
        return None if None in passes else sum(filter(None, passes))
    steps, queries = (getattr(attack, name, None) for name in ("steps", "queries"))
    if not isinstance(steps, int) and not isinstance(queries, int):
        return None
    times = max(1, getattr(attack, "restarts", 1)) * max(1, getattr(attack, "targets", 1))
    return (steps or 0) * times + (queries or 0) * _FORWARD
