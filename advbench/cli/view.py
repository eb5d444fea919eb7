"""`advbench view`: the page of a run, or an index over a folder of runs, in the browser."""

import sys
import tempfile
from pathlib import Path

from advbench.cli.typed import command
from advbench.jobs.settings.view import ViewSettings


def _view(settings: ViewSettings) -> None:
    """Open the page of a run or of a sweep, or an index over a folder that holds many.

    The index sorts, filters, puts two runs side by side and shows pictures. It is one file that needs no
    server; --serve serves it on this machine instead.
    """
    # They import pandas or rich; --help must not.
    from advbench.cli.bar import watched  # noqa: PLC0415
    from advbench.jobs.view import check_view, page_to_view, write_view  # noqa: PLC0415

    if settings.out is not None:
        check_view(settings.out, overwrite=settings.overwrite)
    with watched(quiet=settings.quiet) as bar:
        page = page_to_view(settings, bar)
    if settings.serve:
        _serve(page, settings)
        return
    out = settings.out or Path(tempfile.mkdtemp(prefix="advbench-view-")) / "view.html"
    write_view(page, out, overwrite=settings.overwrite)
    sys.stdout.write(f"written: {out}\n")
    if settings.open:
        _show(out.resolve().as_uri())


def _serve(page: str, settings: ViewSettings) -> None:
    from advbench.reports.serve import HOST, page_server  # noqa: PLC0415

    with page_server(page, settings.port) as server:
        address = f"http://{HOST}:{server.server_port}/"
        sys.stdout.write(f"serving: {address} until Ctrl-C\n")
        sys.stdout.flush()
        if settings.open:
            _show(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")


def _show(address: str) -> None:
    import webbrowser  # noqa: PLC0415  # looks for browsers

    if not webbrowser.open(address):
        sys.stderr.write(f"no browser was found: open {address} in one, or give --no-open.\n")


view = command(ViewSettings, _view)
