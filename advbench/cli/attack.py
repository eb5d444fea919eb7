"""`advbench attack`: one model, some defenses, the table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from advbench.cli import complete

NormName = Literal["linf", "l2"]

_MODEL = "Model"
_DATA = "Data"
_ATTACK = "Defense and attack"
_OUTPUT = "Output"


@dataclass(frozen=True, kw_only=True)
class AttackOptions:
    """The words of one `advbench attack`, as they were given; None where a default is to be found."""

    command: tuple[str, ...]
    checkpoint: Path | None
    model: str | None
    mean: str | None
    std: str | None
    trust_program: bool
    dataset: str | None
    data_root: Path
    split: str
    download: bool
    image_size: int | None
    limit: int | None
    first: int | None
    defenses: tuple[str, ...]
    bpda: bool
    attacks: tuple[str, ...]
    norm: NormName
    eps: str | None
    steps: int | None
    step_size: str | None
    restarts: int | None
    random_start: bool
    seed: int
    batch_size: int
    device: str
    out: Path | None
    overwrite: bool
    formats: str
    json: bool
    quiet: bool


def attack(  # noqa: PLR0917  # typer reads options from parameters, and takes them by position
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights: .pt, .pth, .th, .safetensors; TorchScript and .pt2 with --trust-program.",
            rich_help_panel=_MODEL,
            show_default="the model's own",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="NAME, package.module:factory or file.py:factory.",
            rich_help_panel=_MODEL,
            autocompletion=complete.complete_model,
            show_default="digits-cnn",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Normalisation inside the model, a number a channel: a,b,c.",
            rich_help_panel=_MODEL,
            show_default="the model's, else the data set's",
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            help="As --mean; --mean 0 --std 1 for none.", rich_help_panel=_MODEL, show_default="likewise"
        ),
    ] = None,
    trust_program: Annotated[
        bool,
        typer.Option(
            "--trust-program",
            help="Run TorchScript and .pt2 files, which may hold any code.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to take images from.",
            rich_help_panel=_DATA,
            autocompletion=complete.complete_dataset,
            show_default="digits",
        ),
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Folder that holds it.", rich_help_panel=_DATA)] = Path(
        "data"
    ),
    split: Annotated[str, typer.Option(help="Which part of it.", rich_help_panel=_DATA)] = "test",
    download: Annotated[
        bool, typer.Option("--download", help="Fetch it if it is missing.", rich_help_panel=_DATA)
    ] = False,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Resize and centre-crop images to this side.",
            rich_help_panel=_DATA,
            show_default="as they are",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="A seeded, class-balanced sample of N images.",
            rich_help_panel=_DATA,
            show_default="all",
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(min=1, help="The first N images instead.", rich_help_panel=_DATA, show_default="all"),
    ] = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[:key=value,...][@place], chained with '+'; repeat it for more rows. A place is input, "
            "logits, or a module's name.",
            rich_help_panel=_ATTACK,
            autocompletion=complete.complete_defense,
            show_default="none",
        ),
    ] = None,
    bpda: Annotated[
        bool,
        typer.Option(
            "--bpda", help="Also attack with a substitute in the backward pass.", rich_help_panel=_ATTACK
        ),
    ] = False,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[:key=value,...]; repeat it for more rows.",
            rich_help_panel=_ATTACK,
            autocompletion=complete.complete_attack,
            show_default="pgd",
        ),
    ] = None,
    norm: Annotated[
        NormName, typer.Option(help="Norm that bounds the perturbation.", rich_help_panel=_ATTACK)
    ] = "linf",
    eps: Annotated[
        str | None,
        typer.Option(
            help="Its radius in pixel units: 8/255 or 0.03.",
            rich_help_panel=_ATTACK,
            show_default="usual for the data set",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Gradient steps.", rich_help_panel=_ATTACK, show_default="the attack's: 40"),
    ] = None,
    step_size: Annotated[
        str | None,
        typer.Option(help="Step in pixel units.", rich_help_panel=_ATTACK, show_default="2.5 eps / steps"),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(min=1, help="Random restarts.", rich_help_panel=_ATTACK, show_default="the attack's: 1"),
    ] = None,
    random_start: Annotated[
        bool,
        typer.Option(
            "--random-start/--no-random-start",
            help="Begin at a random point of the ball.",
            rich_help_panel=_ATTACK,
        ),
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.", rich_help_panel=_ATTACK)] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.", rich_help_panel=_OUTPUT)] = 128,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=_OUTPUT)
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run's files.",
            rich_help_panel=_OUTPUT,
            show_default="a dated folder under runs/",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run in --out.", rich_help_panel=_OUTPUT)
    ] = False,
    formats: Annotated[
        str, typer.Option("--format", help="Tables to write: csv, markdown, json.", rich_help_panel=_OUTPUT)
    ] = "csv,markdown",
    json: Annotated[
        bool, typer.Option("--json", help="Print the table's rows as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the table and nothing else.", rich_help_panel=_OUTPUT)
    ] = False,
    debug: Annotated[  # noqa: ARG001  # main() looks for it, so that it holds for every error
        bool, typer.Option("--debug", help="Show a traceback if something fails.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Attack a classifier behind defenses and write the table: clean, shattered and BPDA accuracy.

    Without any option it attacks the bundled digits model. Try: advbench attack --defense round --bpda
    """
    from advbench.cli.session import run  # noqa: PLC0415  # imports torch; --help must not

    options = AttackOptions(
        command=("advbench", *(context.obj or ())),
        checkpoint=checkpoint,
        model=model,
        mean=mean,
        std=std,
        trust_program=trust_program,
        dataset=dataset,
        data_root=data_root,
        split=split,
        download=download,
        image_size=image_size,
        limit=limit,
        first=first,
        defenses=tuple(defense or ()),
        bpda=bpda,
        attacks=tuple(attack or ("pgd",)),
        norm=norm,
        eps=eps,
        steps=steps,
        step_size=step_size,
        restarts=restarts,
        random_start=random_start,
        seed=seed,
        batch_size=batch_size,
        device=device,
        out=out,
        overwrite=overwrite,
        formats=formats,
        json=json,
        quiet=quiet,
    )
    run(options)
