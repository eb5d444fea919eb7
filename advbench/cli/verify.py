"""`advbench verify`: a run's adversarial examples judged again, without any attack."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from advbench.cli.options import VerifyOptions


def verify(  # noqa: PLR0917  # typer reads options from parameters, and takes them by position
    run: Annotated[Path, typer.Argument(help="Folder of a run made with --save-adversarial.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where the weights are now.", show_default="as in the run")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model's name again, which code of your own needs: a run folder cannot ask for it.",
            show_default="as in the run",
        ),
    ] = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            help="As --model: a defense of your own, as the run's command had it; repeat it for more.",
            show_default="as in the run",
        ),
    ] = None,
    trust_program: Annotated[
        bool, typer.Option("--trust-program", help="Run TorchScript and .pt2 files, which may hold any code.")
    ] = False,
    data_root: Annotated[
        Path | None, typer.Option(help="Where the data set is now.", show_default="as in the run")
    ] = None,
    quantize: Annotated[
        Literal["8bit"] | None,
        typer.Option(help="Also tell how many examples still fool as 8-bit images.", show_default="no"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print what disagrees and nothing else.")
    ] = False,
    debug: Annotated[  # noqa: ARG001  # main() looks for it, so that it holds for every error
        bool, typer.Option("--debug", help="Show a traceback if something fails.")
    ] = False,
) -> None:
    """Check a run's examples, predictions, files and table against model, defenses and data, attack-free.

    Prints a line for each file and rung; the exit code is 1 if anything disagrees.
    """
    from advbench.cli.verification import run_verification  # noqa: PLC0415  # imports torch; --help must not

    options = VerifyOptions(
        run=run,
        checkpoint=checkpoint,
        model=model,
        defenses=tuple(each.strip() for each in defense or ()),
        trust_program=trust_program,
        data_root=data_root,
        device=device,
        as_8bit=quantize is not None,
        json=json,
        quiet=quiet,
    )
    run_verification(options)
