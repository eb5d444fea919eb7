"""Defenses: maps on pixels, logits or activations, most of them without a useful gradient."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .channels import channel_statistics as channel_statistics
    from .compress import JPEG as JPEG
    from .compress import WebP as WebP
    from .ensemble import EnsembleMean as EnsembleMean
    from .ensemble import EnsemblePick as EnsemblePick
    from .ensemble import EnsembleVote as EnsembleVote
    from .halftone import Halftone as Halftone
    from .inside import KWTA as KWTA
    from .inside import DropoutActivations as DropoutActivations
    from .inside import QuantizeActivations as QuantizeActivations
    from .meansparse import MeanSparse as MeanSparse
    from .outputs import Argmax as Argmax
    from .outputs import ReverseSigmoid as ReverseSigmoid
    from .purify import Purify as Purify
    from .quantize import Binarize as Binarize
    from .quantize import BitDepth as BitDepth
    from .quantize import Round as Round
    from .quilt import Quilt as Quilt
    from .quilt import patch_bank as patch_bank
    from .random_input import CropEnsemble as CropEnsemble
    from .random_input import Noise as Noise
    from .random_input import ResizePad as ResizePad
    from .registry import DEFENSES as DEFENSES
    from .smoothing import Gaussian as Gaussian
    from .smoothing import Median as Median
    from .smoothing import NonLocalMeans as NonLocalMeans
    from .thermometer import Thermometer as Thermometer
    from .thermometer import ThermometerStem as ThermometerStem
    from .tv_min import TVMin as TVMin

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Argmax": ".outputs",
        "Binarize": ".quantize",
        "BitDepth": ".quantize",
        "CropEnsemble": ".random_input",
        "DEFENSES": ".registry",
        "DropoutActivations": ".inside",
        "EnsembleMean": ".ensemble",
        "EnsemblePick": ".ensemble",
        "EnsembleVote": ".ensemble",
        "Gaussian": ".smoothing",
        "Halftone": ".halftone",
        "JPEG": ".compress",
        "KWTA": ".inside",
        "MeanSparse": ".meansparse",
        "Median": ".smoothing",
        "Noise": ".random_input",
        "NonLocalMeans": ".smoothing",
        "Purify": ".purify",
        "QuantizeActivations": ".inside",
        "Quilt": ".quilt",
        "ResizePad": ".random_input",
        "ReverseSigmoid": ".outputs",
        "Round": ".quantize",
        "TVMin": ".tv_min",
        "Thermometer": ".thermometer",
        "ThermometerStem": ".thermometer",
        "WebP": ".compress",
        "channel_statistics": ".channels",
        "patch_bank": ".quilt",
    },
)
