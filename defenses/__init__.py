"""Defenses: maps on pixels, logits or activations, most of them without a useful gradient."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .compress import JPEG as JPEG
    from .compress import WebP as WebP
    from .halftone import Halftone as Halftone
    from .outputs import Argmax as Argmax
    from .outputs import ReverseSigmoid as ReverseSigmoid
    from .quantize import Binarize as Binarize
    from .quantize import BitDepth as BitDepth
    from .quantize import Round as Round
    from .registry import DEFENSES as DEFENSES
    from .thermometer import Thermometer as Thermometer
    from .thermometer import ThermometerStem as ThermometerStem

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "JPEG": ".compress",
        "WebP": ".compress",
        "Halftone": ".halftone",
        "Argmax": ".outputs",
        "ReverseSigmoid": ".outputs",
        "Binarize": ".quantize",
        "BitDepth": ".quantize",
        "Round": ".quantize",
        "DEFENSES": ".registry",
        "Thermometer": ".thermometer",
        "ThermometerStem": ".thermometer",
    },
)
