"""Records of a run against what they must be, and against those of the same attacks, made again."""

from typing import Final

import numpy as np
import pandas as pd

from advbench.results.indicators import LATE
from advbench.results.records import SAMPLE_TYPES
from advbench.results.table import Cell, Heading

_KEY: Final = ["defense", "attack", "rung", "index"]
_CLOSE: Final = 1e-3
"""How far the last bit may move a loss or a distance along an attack, relative to it and absolutely."""
_MANY: Final = 0.1
"""The share of a rung's images that another machine's rounding may send another way."""


def other_records(samples: pd.DataFrame, again: pd.DataFrame, *, exact: bool) -> str:
    """Where records are others than those that were made again, in words; empty where they are not.

    Args:
        samples: the run's records.
        again: some of them, made again.
        exact: whether they were made again as they were made: every column must agree. Otherwise what
            verdicts rest on must, on all but a few images of each rung.
    """
    if again.empty:
        return ""
    wanted, recorded = again.set_index(_KEY), samples.set_index(_KEY)
    recorded = recorded.loc[wanted.index]
    if exact:
        for name in SAMPLE_TYPES:
            if name not in _KEY and (differs := _differs(recorded[name], wanted[name])).any():
                *cell, image = wanted.index[int(differs.argmax())]
                place = " · ".join(filter(None, map(str, cell)))
                return f"{int(differs.sum())} records have another {name} ({place}, image {image})"
        return ""
    for name in ("robust", "flat_gradient", "late_gain"):
        one, other = (
            frame[name] > LATE if name == "late_gain" else frame[name] for frame in (recorded, wanted)
        )
        off = (one != other).groupby(level=_KEY[:3]).agg(["sum", "size"])
        far = off[off["sum"] > 1 + _MANY * off["size"]]
        if len(far):
            place = " · ".join(filter(None, map(str, far.index[0])))
            return f"{int(far['sum'].iloc[0])} of {int(far['size'].iloc[0])} have another {name} ({place})"
    return ""


def _differs(
    one: "pd.Series[float]", other: "pd.Series[float]"
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if one.dtype.kind != "f":
        return (one != other).to_numpy(dtype=bool)
    return ~np.isclose(one, other, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)


def check_records(samples: pd.DataFrame, heading: Heading, indices: list[int]) -> str | None:
    """What is wrong with a run's records, which must be one an image and rung, of its images.

    Returns:
        A sentence, or None if nothing is wrong.
    """
    indices_by_cell = samples.groupby(list(Cell._fields), sort=False)["index"].agg(list).to_dict()
    for cell in heading.cells():
        cell_indices = indices_by_cell.pop(tuple(cell), [])
        if sorted(cell_indices) != sorted(indices):
            rung = " · ".join(filter(None, cell))
            return f"{rung} has {len(cell_indices)} records, not one for each of its {len(indices)} images"
    return (
        f"there are records of a rung that was not run: {next(iter(indices_by_cell))}"
        if indices_by_cell
        else None
    )
