"""Picture files that a table of text lists: a path and a label a row."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from advbench.data.columns import LABELS, PICTURES, chosen_column, labels_of
from advbench.data.images import Labels
from advbench.errors import DatasetError, first_line, printable
from advbench.regular_files import read_regular

_LARGEST: Final = 1 << 28  # bytes of a list


class ListedPictures(NamedTuple):
    """What a list says.

    Args:
        files: the paths, relative ones from the folder of the list.
        labels: of each, `(n,)`.
        classes: their names, where the list has names.
    """

    files: Sequence[str]
    labels: Labels
    classes: Sequence[str]


def read_list(
    path: Path, split: str, *, image_column: str | None = None, label_column: str | None = None
) -> ListedPictures:
    """The pictures of a `.csv` or `.tsv` file whose first line names its columns.

    Args:
        path: of the list.
        split: whose rows are taken, where the list has a column `split`.
        image_column: that holds the paths; None for the one with a usual name.
        label_column: likewise for the labels, which are whole numbers or names of classes.

    Raises:
        DatasetError: no such table, no such column, a row without label, or a path that leads nowhere.
    """
    table = _table(path)
    names = [str(name) for name in table.columns]
    images = chosen_column(names, image_column, PICTURES, "--image-column")
    label = chosen_column(names, label_column, LABELS, "--label-column")
    everywhere = table[label]
    if "split" in names:
        splits = sorted(table["split"].unique())
        table = table[table["split"] == split]
        if table.empty:
            listed = printable(", ".join(splits[:8]))
            raise DatasetError(f"{path.name} has no row of split {split!r}, only of {listed}.")
    files = [str(path.parent / name.strip()) for name in table[images]]
    for row, file in zip(table.index, files, strict=True):
        if not Path(file).is_file():
            raise DatasetError(f"line {row + 2} of {path.name}: there is no file {printable(file)}.")
    labels, classes = labels_of(table[label], f"column {label!r} of {path.name}", everywhere)
    return ListedPictures(files, labels, classes)


def _table(path: Path) -> pd.DataFrame:
    try:
        contents = read_regular(path, _LARGEST)
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error.strerror}.") from error
    try:
        return pd.read_csv(
            io.BytesIO(contents),
            sep="\t" if path.suffix.lower() == ".tsv" else ",",
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
        )
    except Exception as error:  # a damaged file can make its reader raise anything
        reason = printable(first_line(error)).rstrip(".")
        raise DatasetError(f"{path.name} is no table of comma-separated text: {reason}.") from error
