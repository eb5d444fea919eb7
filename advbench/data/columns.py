"""Which column of a table holds what, and labels from whatever a column says."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import numpy as np

from advbench.data.images import Labels
from advbench.errors import DatasetError, nearest

PICTURES: Final = (
    "image",
    "img",
    "picture",
    "path",
    "file",
    "file_name",
    "filename",
    "filepath",
    "image_path",
)
LABELS: Final = ("label", "labels", "class", "target", "y", "cls")
_LARGEST_LABEL: Final = 1_000_000


def chosen_column(names: Sequence[str], wanted: str | None, usual: Collection[str], option: str) -> str:
    """The column that is meant: the one that is named, or the only one with a usual name.

    Args:
        names: of all columns.
        wanted: what the user says; None for nothing.
        usual: names that such a column mostly has, in small letters.
        option: with which the user says it, for messages.

    Raises:
        DatasetError: no such column, none with a usual name, or several.
    """
    if wanted is not None:
        if wanted not in names:
            raise DatasetError(f"there is no column {wanted!r}. {nearest(wanted, names)}")
        return wanted
    usually = [name for name in names if name.strip().lower() in usual]
    if len(usually) == 1:
        return usually[0]
    listed = ", ".join(map(str, names)) or "none"
    wrong = f"columns {', '.join(usually)} could be meant" if usually else f"the columns are {listed}"
    raise DatasetError(f"{wrong}; name the right one with {option}.")


def labels_of(values: Iterable[Any], where: str, others: Iterable[str] = ()) -> tuple[Labels, list[str]]:
    """Labels from the values of a column: whole numbers as they are, or names in alphabetical order.

    Blanks around a text are no part of it.

    Args:
        values: whole numbers or texts, one an image.
        where: what messages call the column.
        others: labels of the images that are not taken, of other splits, whose names count too.

    Returns:
        Labels `(n,)`, and the names of the classes; none where the values are numbers.

    Raises:
        DatasetError: an image without a label, a number that is negative or has a point, or another kind.
    """
    listed = [value.strip() if isinstance(value, str) else value for value in values]
    for row, value in enumerate(listed, 1):
        if value is None or value == "" or not isinstance(value, int | str | np.integer):
            shown = "nothing" if value in (None, "") else f"{value!r:.40}"
            raise DatasetError(f"{where} has {shown} in row {row}; expected a whole number or a name.")
    everywhere = [*listed, *(text.strip() for text in others if text.strip())]
    if all(_is_like(value, r"[+-]?\d{1,9}") for value in everywhere):
        labels = np.array([int(value) for value in listed], dtype=np.int64)
        wrong = np.flatnonzero((labels < 0) | (labels > _LARGEST_LABEL))
        if len(wrong):
            raise DatasetError(
                f"{where} has {labels[wrong[0]]} in row {wrong[0] + 1}, which is the number of no class."
            )
        return labels, []
    if all(_is_like(value, r"[+-]?\d+(\.\d*)?") for value in everywhere):
        pointed = next(value for value in everywhere if not _is_like(value, r"[+-]?\d{1,9}"))
        raise DatasetError(f"{where} has {pointed!r:.40}; expected whole numbers without a point, or names.")
    classes = sorted({str(value) for value in everywhere})
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number[str(value)] for value in listed], dtype=np.int64), classes


def _is_like(value: Any, pattern: str) -> bool:
    """Whether a value is a number, or a text of a pattern."""
    return not isinstance(value, str) or re.fullmatch(pattern, value, re.ASCII) is not None
