"""Rows that no threshold was set on: their truth was fixed, and they were judged once as they stand here.

The count beside each is what an own attack, or a bound, left of the 60 images before the verdict was asked.
Of the 23, 21 came out right, one undecided and one wrong (`table.UNDECIDED`, `table.WRONG`).
"""

from dataclasses import replace
from functools import partial
from typing import Final

from torch import Tensor, nn

from advbench import Threat

from . import defenses as made
from . import unseen_maps as maps
from . import unseen_networks as models
from .networks import Steps, held_out, network
from .specimens import EPS, Specimen, attacked, inside, itself, with_defense


def _plain() -> nn.Module:
    return network("bundled")


def _robust() -> nn.Module:
    return network("small-cnn", EPS)


def _fine_levels(x: Tensor) -> Tensor:
    return made.levels(x, 65)


_STANDING: Final = (
    itself("an adversarially trained transformer", "stands", lambda: models.patches(0.1), 0.1),  # 42
    Specimen(
        name="layers trained on intervals, inside what these prove",
        truth="stands",
        model=lambda: models.interval_trained(0.1),
        threat=Threat("linf", 0.05),
        left=lambda: models.provable_of_intervals(models.interval_trained(0.1), held_out(), 0.05),  # 54
    ),
    Specimen(
        name="medians of quadrants, out of reach by construction",
        truth="stands",
        model=models.QuadrantMedians,
        images=models.quadrant_images,
        left=lambda: 60,  # the medians are 0.4 apart or more, and 0.15 moves each by 0.15
    ),
    itself(
        "adversarially trained, the mean over fixed noise", "stands", lambda: models.MeanOverNoise(_robust())
    ),
    itself("layers with a small gradient", "stands", models.flattened, 0.05),
    Specimen(
        name="sixty-five levels before an adversarially trained network",
        truth="stands",
        model=_robust,
        defenses={"own": _fine_levels},
        left=attacked(_robust, lambda: lambda x: _robust()(_fine_levels(x))),  # 41
    ),
)

_FALLING: Final = (
    itself("a transformer", "falls", models.patches),  # 0
    itself("a recurrent network", "falls", lambda: models.plainly(models.RowByRow)),  # 1
    itself("a polynomial", "falls", lambda: models.plainly(models.Squares)),  # 4
    itself("eight steps of a differential equation", "falls", lambda: models.plainly(models.Flow)),  # 3
    itself(
        "a second network where the first is not sure",
        "falls",
        lambda: models.SureOrAsked(_plain(), network("mlp")),
    ),  # 5
    with_defense("eight steps down the total variation", "falls", maps.smoothed_in_steps),  # 3
)

_HIDING: Final = (
    inside("a random forest", maps.forest, maps.like_the_forest),  # 24
    inside(
        "ranks of pixels",  # 0
        lambda: Steps(maps.ranks, maps.trained_behind(maps.ranks)),
        lambda: Steps(maps.soft_ranks, maps.trained_behind(maps.ranks)),
    ),
    inside(
        "bits of a locality-sensitive hash",  # 1
        lambda: Steps(maps.hashed, maps.trained_behind(maps.hashed, bits=True)),
        lambda: Steps(maps.softly_hashed, maps.trained_behind(maps.hashed, bits=True)),
    ),
    inside("a ripple on the pixels", lambda: Steps(maps.rippled, _plain()), _plain),  # 0
    inside("another network's gradient", lambda: maps.Decoy(_plain()), _plain),  # 0
    with_defense("errors diffused in NumPy", "hides", maps.diffused, network("bundled")),  # 1
    inside(
        "patches from a code book",  # 30
        lambda: Steps(maps.coded_patches, _plain()),
        lambda: Steps(maps.softly_coded_patches, _plain()),
    ),
)

_OTHERS: Final = (
    Specimen(name="noise of NumPy's generator", truth="no function", model=maps.WithNumpyNoise),
    Specimen(name="another image at every third call", truth="no function", model=maps.EveryThirdCall),
    Specimen(name="a mean over all images so far", truth="no function", model=maps.Remembering),
    Specimen(
        name="trained on black for white",  # no image is right
        truth="chance",
        model=partial(maps.trained_behind, maps.inverted),
    ),
)

UNSEEN: Final = tuple(
    replace(specimen, unseen=True) for specimen in (*_STANDING, *_FALLING, *_HIDING, *_OTHERS)
)
