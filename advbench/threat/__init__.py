"""What an adversary may do, what it climbs, and who judges: norms, losses, the attack protocol, the judge."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .threat import Threat as Threat

__all__ = ["Threat"]

__getattr__, __dir__ = lazy_names(__name__, {"Threat": ".threat"})
