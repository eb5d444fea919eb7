"""Records of a run against what they must be, and against those of the same attacks, made again."""

from collections.abc import Container
from typing import Final

import numpy as np
import pandas as pd

from advbench.results.indicators import LATE
from advbench.results.records import LOSS_COLUMNS, SAMPLE_TYPES
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


def check_records(
    samples: pd.DataFrame, heading: Heading, indices: list[int], adapting: Container[str] = ()
) -> str | None:
    """What is wrong with a run's records, which must be one an image and rung, of its images.

    Args:
        samples: the records.
        heading: what the run's table is about.
        indices: of its images.
        adapting: the rows whose model adapts, so that static examples are made for them.

    Returns:
        A sentence, or None if nothing is wrong.
    """
    indices_by_cell = samples.groupby(list(Cell._fields), sort=False)["index"].agg(list).to_dict()
    for cell in heading.cells():
        cell_indices = indices_by_cell.pop(tuple(cell), [])
        if sorted(cell_indices) != sorted(indices):
            rung = " · ".join(filter(None, cell))
            return f"{rung} has {len(cell_indices)} records, not one for each of its {len(indices)} images"
    if indices_by_cell:
        return f"there are records of a rung that was not run: {next(iter(indices_by_cell))}"
    return _attacked_where_nothing_is(samples, adapting)


def _attacked_where_nothing_is(samples: pd.DataFrame, adapting: Container[str]) -> str | None:
    """Which record of clean images, or of examples that were made elsewhere, tells of an attack's course."""
    still = samples["rung"].isin(["clean", "static"])
    still &= ~samples["defense"].map(lambda defense: defense in adapting).astype(bool)
    course = samples[["steps", "queries", "flat_gradient"]].any(axis=1)
    course |= samples[["late_gain", *LOSS_COLUMNS]].notna().any(axis=1)
    if not (still & course).any():
        return None
    first = samples[still & course].iloc[0]
    place = " · ".join(filter(None, (first["defense"], first["attack"], first["rung"])))
    return f"{place} tells of the course of an attack, and none was run there (image {first['index']})"
