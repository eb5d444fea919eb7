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
}
