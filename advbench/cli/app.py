"""The commands. Nothing here imports torch, so that every `--help` answers at once."""

import sys
from typing import Annotated

import typer

from advbench.cli.attack import attack
from advbench.cli.finetune import finetune
from advbench.cli.listing import doctor, list_names
from advbench.cli.report import export, report
from advbench.cli.sweep import init, sweep
from advbench.cli.verify import verify
from advbench.cli.view import view
from advbench.version import VERSION

app = typer.Typer(
    name="advbench",
    help="Is it robust, or is only its gradient hidden?",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("attack")(attack)
app.command("sweep")(sweep)
app.command("init")(init)
app.command("report")(report)
app.command("view")(view)
app.command("export")(export)
app.command("verify")(verify)
app.command("finetune")(finetune)
app.command("list")(list_names)
app.command("doctor")(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"advbench {VERSION}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Attack image classifiers behind non-differentiable defenses, with and without BPDA."""
