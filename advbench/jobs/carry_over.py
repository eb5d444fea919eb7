"""What is known at a smaller radius, carried to a larger one.

An example that fools a defended model within a small ball does so within every larger one, so that no attack
has to look for it again: accuracy never rises with the radius, and a curve costs little more than its first
points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from advbench.regular_files import read_regular
from advbench.results.records import join_samples
from advbench.results.table import Cell
from advbench.runs.examples import Examples, read_examples
from advbench.runs.folder import ADVERSARIAL
from advbench.runs.samples import LARGEST, SAMPLES, read_samples

_MOST = 100_000_000  # records


Part = tuple[pd.DataFrame, Examples | None]
"""Records, and the examples that belong to them."""


@dataclass(frozen=True)
class Carried:
    """Images that have fallen at smaller radii.

    Args:
        felled: for the folder of each run, the records of the images that fell there first, without their
            cost, which was paid there.
    """

    felled: Mapping[Path, pd.DataFrame]

    def parts(self, known: pd.DataFrame, *, with_examples: bool) -> Iterator[Part]:
        """The records that are not known yet, with the examples that belong to them.

        Args:
            known: records that the run has already.
            with_examples: whether the run keeps examples; what has none is left to be attacked again.
        """
        for folder, samples in self.felled.items():
            new = samples[~_keys(samples).isin(_keys(known))]
            if with_examples:
                for file in sorted((folder / ADVERSARIAL).glob("*.safetensors")):
                    yield from _with_examples(new, read_examples(file))
            elif len(new):
                yield new, None


def _with_examples(samples: pd.DataFrame, file_examples: Examples) -> Iterator[Part]:
    """The records that a file holds examples of, beside these."""
    cell_records = file_examples.cell.records(samples)
    rows = torch.isin(file_examples.indices, torch.tensor(cell_records["index"].tolist(), dtype=torch.int64))
    if rows.any():
        examples = Examples(file_examples.cell, file_examples.indices[rows], file_examples.x_adv[rows])
        records = cell_records.set_index("index").loc[examples.indices.tolist()].reset_index()
        yield records[list(samples.columns)], examples


def carried_from(folders: Sequence[Path]) -> Carried:
    """What runs that are the same but for their radii have felled.

    Args:
        folders: of the runs, the smallest radius first.
    """
    felled: dict[Path, pd.DataFrame] = {}
    for folder in folders:
        samples, _ = read_samples(read_regular(folder / SAMPLES, LARGEST), _MOST)
        before = join_samples(list(felled.values()))
        records = _felled(samples).assign(steps=0, queries=0)
        felled[folder] = records[~_keys(records).isin(_keys(before))]
    return Carried(felled)


def _keys(samples: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(samples[["index", *Cell._fields]])


def _felled(samples: pd.DataFrame) -> pd.DataFrame:
    """The records of images that were right when clean and have fallen."""
    clean = samples[(samples["rung"] == "clean") & samples["robust"]]
    images = ["defense", "index"]
    right = pd.MultiIndex.from_frame(samples[images]).isin(pd.MultiIndex.from_frame(clean[images]))
    return samples[~samples["robust"] & right]
