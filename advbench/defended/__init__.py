"""A classifier with defenses in place, and the gradients that go through it: BPDA and its substitutes."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .model import DefendedModel as DefendedModel
    from .model import Placement as Placement

__all__ = ["DefendedModel", "Placement"]

__getattr__, __dir__ = lazy_names(__name__, {"DefendedModel": ".model", "Placement": ".model"})
