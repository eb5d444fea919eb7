"""When a run that is done ends with exit code 1 all the same: for checks of a model that ships."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advbench.errors import RunError, SpecError
from advbench.jobs.build_attacks import listed
from advbench.results.records import UNDEFENDED, Row
from advbench.results.verdict import KINDS

_FALLEN = "not robust"
_NO_NUMBER = ("masked", "unreliable")


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """What a table must not hold.

    Args:
        kinds: verdicts, as rows have them.
        least: the fraction of all images that must stand on every rung; None for any.
    """

    kinds: Sequence[str]
    least: float | None

    def check(self, rows: Sequence[Row]) -> None:
        """Look at every row; how little an undefended model stands matters only where nothing defends it.

        Raises:
            RunError: a row that is refused, and why.
        """
        shipped = [row for row in rows if row.defense != UNDEFENDED] or list(rows)
        by_kind = [
            f"{_name(row)} is {row.verdict}"
            for row in rows
            if _kind(row) in self.kinds and (_kind(row) != _FALLEN or row in shipped)
        ]
        by_count = list(self._too_few(shipped))
        sentences = [f"--fail-on: {'; '.join(by_kind)}." if by_kind else ""]
        sentences.append(f"--min-robust {self.least:g}: {'; '.join(by_count)}." if by_count else "")
        if any(sentences):
            raise RunError(" ".join(filter(None, sentences)))

    def _too_few(self, rows: Sequence[Row]) -> Iterator[str]:
        if self.least is None:
            return
        for row in rows:
            worst = row.rates["worst"]
            if worst.accuracy < self.least:
                yield f"{_name(row)} keeps {worst.count} of {worst.n} ({worst.accuracy:.3g})"
            elif _kind(row) in _NO_NUMBER:
                yield f"{_name(row)} is {_kind(row)}: less than its {worst.count} of {worst.n} may stand"


def refusals(fail_on: str, least: float | None) -> Refusals:
    """What `--fail-on a,b` and `--min-robust` refuse.

    Raises:
        SpecError: a verdict that there is not, or no fraction.
    """
    if least is not None and not 0.0 <= least <= 1.0:
        raise SpecError(f"--min-robust must be a fraction of the images in [0, 1], like 0.4; got {least:g}.")
    known = {kind.replace(" ", "-"): kind for kind in KINDS}
    named = listed(fail_on)
    unknown = [name for name in named if name not in known]
    if unknown or (fail_on and not named):
        raise SpecError(f"there is no verdict {(unknown or [fail_on])[0]!r}; known: {', '.join(known)}.")
    return Refusals(kinds=[known[name] for name in named], least=least)


def _kind(row: Row) -> str:
    return row.verdict.partition(":")[0]


def _name(row: Row) -> str:
    return f"{row.defense} under {row.attack}"
