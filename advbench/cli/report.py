"""`advbench report`: tables, figures and a page from run folders, without a model."""

from advbench.cli.typed import command
from advbench.jobs.settings.report import ReportSettings


def _report(settings: ReportSettings) -> None:
    """Redraw and merge the tables of finished runs: what differs between them becomes a column.

    Everything is counted anew from the runs' records; no model is loaded and nothing is attacked.
    """
    from advbench.cli.report_session import run  # noqa: PLC0415  # imports pandas; --help must not

    run(settings)


report = command(ReportSettings, _report)
