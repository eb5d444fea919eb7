"""`advbench sweep`: a grid of models, defenses, threats and attacks from a file, and one table."""

import json as json_text
import sys
from pathlib import Path
from typing import Annotated

import typer

from advbench.cli.options import SweepOptions
from advbench.cli.table_options import Columns, Digits, Percent, Sort, read_style
from advbench.errors import InputError


def sweep(  # noqa: PLR0917  # typer reads options from parameters, and takes them by position
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A TOML file: [defaults], models, threats, defenses, attacks.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells, what is done of them, and how long it takes.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the sweep's files.", show_default="a dated folder under runs/"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what is done in --out already.")
    ] = False,
    formats: Annotated[
        str,
        typer.Option(
            "--format", help="Tables to write of all rows: csv, markdown, latex, json; html: a page."
        ),
    ] = "csv,markdown",
    columns: Columns = None,
    sort: Sort = "",
    percent: Percent = True,
    digits: Digits = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the JSON schema of the file, for editors, and nothing else."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the table's rows as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table and nothing else.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of what fails.")] = False,
) -> None:
    """Run every cell of a grid of models, threats, defenses and attacks, and write one table of all.

    Cells that are done are not done again, and one that fails does not stop the others. The exit code is 1
    if any has failed.
    """
    if schema:
        from advbench.cli.sweep_schema import schema as schema_of_sweeps  # noqa: PLC0415  # imports pandas

        sys.stdout.write(json_text.dumps(schema_of_sweeps(), indent=2) + "\n")
        return
    if file is None:
        raise InputError("name the sweep's file: advbench sweep FILE.toml.")
    from advbench.cli.sweep_session import run  # noqa: PLC0415  # imports torch; --help must not

    run(
        SweepOptions(
            command=("advbench", *(context.obj or ())),
            file=file,
            dry_run=dry_run,
            out=out,
            overwrite=overwrite,
            formats=formats,
            style=read_style(columns, sort, percent=percent, digits=digits),
            json=json,
            quiet=quiet,
            debug=debug,
        )
    )
