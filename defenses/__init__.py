"""Defenses: maps on pixels, logits or activations, most of them without a useful gradient."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .quantize import BitDepth as BitDepth
    from .quantize import Round as Round
    from .registry import DEFENSES as DEFENSES

__getattr__, __dir__ = lazy_names(
    __name__, {"BitDepth": ".quantize", "Round": ".quantize", "DEFENSES": ".registry"}
)
