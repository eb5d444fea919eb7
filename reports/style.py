"""How a table is to look: its columns, its order, its numbers. The records stay what they are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from advbench.errors import RunFolderError, SpecError, nearest
from advbench.names.grammar import parse_number
from advbench.results.records import RUNGS, Row
from advbench.runs.typed_json import Where, read_as

GAP: Final = "gap"
LABELS: Final = ("model", "dataset", "threat", "attack", "defense", "substitute", "judge")
COLUMNS: Final[tuple[str, ...]] = (*LABELS, *RUNGS, GAP)

_MOST_DIGITS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Style:
    """How people read a table. CSV and JSON always hold every column, as fractions in full precision.

    Args:
        columns: which columns, in which order, names before numbers; all that say something by default.
        sort: the column by whose values all formats order the rows, with '-' before it for the largest
            first; '' for the order in which they were run.
        percent: whether accuracies are per cent, or fractions.
        digits: after the point; by default 1 of per cent and 3 of fractions.
        caption: of a table in LaTeX; what holds for every row by default.
        label: by which LaTeX refers to the table.

    Raises:
        SpecError: a column that there is not, or digits out of range.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    percent: bool = True
    digits: int | None = None
    caption: str = ""
    label: str = "tab:advbench"

    def __post_init__(self) -> None:
        for name in (*self.columns, *([self.sort.removeprefix("-")] if self.sort else [])):
            if name not in COLUMNS:
                raise SpecError(f"a table has no column {name!r}. {nearest(name, COLUMNS)}")
        if len(set(self.columns)) < len(self.columns):
            raise SpecError(f"--columns names a column twice: {','.join(self.columns)}.")
        if self.digits is not None and not 0 <= self.digits <= _MOST_DIGITS:
            raise SpecError(f"--digits must lie in [0, {_MOST_DIGITS}], got {self.digits}.")

    def number(self, fraction: float) -> str:
        """An accuracy as it is printed."""
        digits = self.digits if self.digits is not None else 1 if self.percent else 3
        return f"{100 * fraction if self.percent else fraction:.{digits}f}"

    def settings(self) -> dict[str, Any]:
        """What differs from the default, for `run.json`."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}


PLAIN: Final = Style()


def style_of(entries: Any) -> Style:
    """The style that `run.json` says its tables have, which may have been forged.

    Raises:
        SpecError: entries that no run has written.
    """
    if entries is None:
        return PLAIN
    try:
        return read_as(Style, entries, Where("run.json", ("tables",)))
    except RunFolderError as error:
        raise SpecError(f"no table looks like {entries!r:.60}: {error}") from error


def arranged(rows: Sequence[Row], style: Style) -> list[int]:
    """The places of the rows in the order that is asked for; rows without a value come last."""
    places = list(range(len(rows)))
    if not style.sort:
        return places
    name = style.sort.removeprefix("-")
    values = [_value(row, name) for row in rows]
    there = [place for place in places if values[place] is not None]
    there.sort(key=lambda place: values[place], reverse=style.sort.startswith("-"))
    return there + [place for place in places if values[place] is None]


def _value(row: Row, name: str) -> Any:
    """What a row is ordered by; None where it has nothing of the kind."""
    if name == GAP:
        return row.masking_gap
    if name == "threat":
        return row.norm, radius_of(row.eps), row.eps
    if name in LABELS:
        return getattr(row, name)
    rates = {str(rung): rate for rung, rate in row.rates.items()}
    return rates[name].accuracy if name in rates else None


def radius_of(text: str) -> float:
    """A radius as a number; infinity where it is none."""
    try:
        return parse_number(text, "eps")
    except SpecError:  # a record of one's own may say what it likes
        return float("inf")
