"""What a table for reading has below it, said beside a table for machines."""

import sys
from collections.abc import Sequence

from advbench.errors import printable
from advbench.results.records import Row


def say_aside(rows: Sequence[Row]) -> None:
    """Write each note and each doubt of a table once to stderr; neither is hidden by `--quiet`."""
    several = len({row.model for row in rows}) > 1
    notes = [f"note{f' ({row.model})' if several else ''}: {note}." for row in rows for note in row.notes]
    doubts = [f"warning ({row.defense}): {doubt}." for row in rows for doubt in row.warnings]
    for line in dict.fromkeys([*notes, *doubts]):
        sys.stderr.write(printable(line) + "\n")
