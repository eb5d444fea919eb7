"""The worst for each image of two attacks on the same images."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from advbench.results.records import join_samples


class Outcome(NamedTuple):
    """What an attack on a batch came to."""

    samples: pd.DataFrame
    """A record an image, columns as in `records.SAMPLE_TYPES`."""
    x_adv: Tensor
    """The examples that were judged, `(n, c, h, w)`."""


def still_standing(outcome: Outcome) -> npt.NDArray[np.int64]:
    """Places in the batch of the images that stand and that an attack with gradients was tried on."""
    samples = outcome.samples
    return np.flatnonzero(samples["robust"].to_numpy() & (samples["steps"] > 0).to_numpy())


def worst_of(first: Outcome, second: Outcome, rows: npt.NDArray[np.int64]) -> Outcome:
    """For each image the example that fools, else the one of higher loss; with the cost of both.

    Args:
        first: of a whole batch.
        second: of the images at `rows` of it.
        rows: places in the batch.
    """
    one = first.samples.iloc[rows].reset_index(drop=True)
    other = second.samples.reset_index(drop=True)
    better = (~other["robust"] | (other["loss"] > one["loss"])).to_numpy(copy=True)
    mixed = pd.DataFrame({name: np.where(better, other[name], one[name]) for name in one.columns})
    mixed["steps"], mixed["queries"] = one["steps"] + other["steps"], one["queries"] + other["queries"]
    mixed["flat_gradient"] = one["flat_gradient"] & other["flat_gradient"]
    smallest = np.fmin(one["smallest"].to_numpy(), other["smallest"].to_numpy())
    mixed["smallest"] = np.where(mixed["robust"], smallest, mixed["distance"])
    untouched = np.setdiff1d(np.arange(len(first.samples)), rows)
    joined = join_samples([first.samples.iloc[untouched], mixed])
    back = np.argsort(np.concatenate([untouched, rows]), kind="stable")
    x_adv, device = first.x_adv.clone(), first.x_adv.device
    x_adv[torch.from_numpy(rows[better]).to(device)] = second.x_adv[torch.from_numpy(better).to(device)]
    return Outcome(joined.iloc[back].reset_index(drop=True), x_adv)
