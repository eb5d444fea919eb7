"""The defenses that can be named on the command line."""

from typing import Final

from advbench.registry import Entry

DEFENSES: Final = {
    "round": Entry(
        factory="advbench.defenses.quantize:Round",
        summary="to the nearest multiple of a step",
        source="Athalye, Carlini, Wagner 2018",
    ),
    "bit-depth": Entry(
        factory="advbench.defenses.quantize:BitDepth",
        summary="2**bits levels in [0, 1]",
        source="Xu, Evans, Qi 2018",
    ),
    "binarize": Entry(
        factory="advbench.defenses.quantize:Binarize",
        summary="black or white",
        source="Xu, Evans, Qi 2018",
    ),
    "thermometer": Entry(
        factory="advbench.defenses.thermometer:Thermometer",
        summary="a channel for each level, or the level that they stand for",
        source="Buckman et al. 2018",
    ),
    "halftone": Entry(
        factory="advbench.defenses.halftone:Halftone",
        summary="few levels, errors diffused to the pixels that follow",
        source="Lo, Patel 2021",
    ),
    "jpeg": Entry(
        factory="advbench.defenses.compress:JPEG",
        summary="JPEG compression, libjpeg's",
        source="Guo et al. 2018",
    ),
    "webp": Entry(
        factory="advbench.defenses.compress:WebP",
        summary="lossy WebP compression, libwebp's",
        source="libwebp",
    ),
    "reverse-sigmoid": Entry(
        factory="advbench.defenses.outputs:ReverseSigmoid",
        summary="probabilities bent towards one half, at the logits",
        source="Lee et al. 2018",
    ),
    "argmax": Entry(
        factory="advbench.defenses.outputs:Argmax",
        summary="the label alone, at the logits",
        source="Brendel, Rauber, Bethge 2018",
    ),
}
