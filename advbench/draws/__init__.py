"""Every random number, keyed by image."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .draws import Draws as Draws

__all__ = ["Draws"]

__getattr__, __dir__ = lazy_names(__name__, {"Draws": ".draws"})
