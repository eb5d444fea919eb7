"""An export from its settings: runs back from their folders, in the formats of other programs."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from advbench.errors import InputError
from advbench.jobs.reported import check_out
from advbench.jobs.settings.export import ExportSettings
from advbench.jobs.settings.keywords import settings_from_keywords, with_keywords
from advbench.reports.exports import EXPORTS, Exported, single_text, write_exports
from advbench.reports.formats import formats_of
from advbench.reports.hub import HubNames
from advbench.reports.outcomes import Outcome, outcomes_of
from advbench.reports.runs import merge_rows, read_runs


@with_keywords(ExportSettings)
def export(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    **settings: Any,
) -> str | list[str]:
    """Write the rows of finished runs in the formats of other programs: CI, the Hub, leaderboards, trackers.

    What `advbench export` does, with its options as keywords. No model is loaded, nothing is attacked,
    nothing is printed, and nothing is sent anywhere.

    Args:
        runs: folders of runs and sweeps.
        settings: the options.

    Returns:
        The names of the files below `out`; without one, the only file of the format as text.

    Raises:
        InputError: folders without finished runs, or rows that do not fit a format.
    """
    return make_export(settings_from_keywords(ExportSettings, "export", {"runs": runs, **settings}))


def make_export(settings: ExportSettings) -> str | list[str]:
    """As `export`, from settings.

    Raises:
        InputError: as there.
    """
    formats = formats_of(settings.formats, list(EXPORTS))
    if not formats:
        raise InputError(f"--format names no format; known: {', '.join(EXPORTS)}.")
    if settings.out is None and len(formats) > 1:
        raise InputError("more than one format needs a folder for its files: --out DIR.")
    if settings.out is not None:
        check_out(settings.out, overwrite=True)
    exported = _exported(settings)
    if settings.out is None:
        return single_text(formats[0], exported)
    return write_exports(settings.out, formats, exported, overwrite=settings.overwrite)


def _exported(settings: ExportSettings) -> Exported:
    runs, failed = read_runs(settings.runs)
    outcomes = outcomes_of(merge_rows(runs, failed))
    chosen = [
        outcome
        for outcome in outcomes
        if (not settings.defenses or outcome.row.defense in settings.defenses)
        and (not settings.attacks or outcome.row.attack in settings.attacks)
    ]
    if not chosen:
        known = dict.fromkeys(f"{outcome.row.defense} under {outcome.row.attack}" for outcome in outcomes)
        raise InputError(f"no row is of these defenses and attacks; there are: {', '.join(known) or 'none'}.")

    def examples(outcome: Outcome) -> bytes:
        from advbench.jobs.board_examples import pack_board_examples  # noqa: PLC0415  # imports torch

        assert outcome.run is not None  # a row with numbers comes from a run
        return pack_board_examples(outcome.row, outcome.run, settings.data_root)

    return Exported(
        outcomes=chosen,
        hub=HubNames(
            dataset=settings.hub_dataset,
            task=settings.hub_task,
            model=settings.model_name,
            source=settings.source,
        ),
        examples=examples,
    )
