"""`advbench finetune`: train a model on, plain or with APART, and measure what came of it."""

from pathlib import Path
from typing import Annotated

import typer

from advbench.cli import shared_options as shared
from advbench.cli.options import FinetuneOptions, NormName, SubjectOptions
from advbench.errors import SpecError
from advbench.training.recipe import Augment, Perturbation, Precision, Recipe, Schedule

_TRAINING = "Training"
_APART = "APART"
_MEASURING = "Measuring"


def finetune(  # noqa: PLR0917  # typer reads options from parameters, and takes them by position
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights to begin with: .pt, .pth, .th, .safetensors.",
            rich_help_panel=shared.MODEL,
            show_default="the model's own",
        ),
    ] = None,
    model: shared.Model = None,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Begin with untrained weights.", rich_help_panel=shared.MODEL)
    ] = False,
    weights: shared.Weights = None,
    mean: shared.Mean = None,
    std: shared.Std = None,
    normalization: shared.Normalization = None,
    dataset: shared.Dataset = None,
    data_root: shared.DataRoot = Path("data"),
    train_split: Annotated[
        str, typer.Option(help="Part to train on.", rich_help_panel=shared.DATA)
    ] = "train",
    split: Annotated[str, typer.Option(help="Part to measure on.", rich_help_panel=shared.DATA)] = "test",
    download: shared.Download = False,
    image_size: shared.ImageSize = None,
    channels: shared.Channels = None,
    classes: shared.Classes = None,
    class_index: shared.ClassIndex = None,
    train_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train on a seeded, class-balanced sample of N images.",
            rich_help_panel=shared.DATA,
            show_default="all",
        ),
    ] = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Keep N training images back, to choose the best epoch by.",
            rich_help_panel=shared.DATA,
            show_default="a tenth, at most 5000",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the images.", rich_help_panel=_TRAINING)] = 30,
    batch_size: Annotated[
        int, typer.Option(help="Images a step, over all processes.", rich_help_panel=_TRAINING)
    ] = 128,
    lr: Annotated[float, typer.Option(help="Learning rate at the start.", rich_help_panel=_TRAINING)] = 0.1,
    schedule: Annotated[
        Schedule,
        typer.Option(help="step: times 0.1 after 1/2 and 3/4 of the epochs.", rich_help_panel=_TRAINING),
    ] = "step",
    momentum: Annotated[float, typer.Option(help="Of SGD.", rich_help_panel=_TRAINING)] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of SGD.", rich_help_panel=_TRAINING)] = 5e-4,
    augment: Annotated[
        Augment | None,
        typer.Option(
            help="Random crops after padding by an eighth of the side, and mirror images.",
            rich_help_panel=_TRAINING,
            show_default="crop-flip for photographs, else crop",
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of the forward passes.", rich_help_panel=_TRAINING)
    ] = "float32",
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.", rich_help_panel=_TRAINING)] = 0,
    sync_bn: Annotated[
        bool,
        typer.Option(
            "--sync-bn", help="Take batch statistics over all processes.", rich_help_panel=_TRAINING
        ),
    ] = False,
    apart: Annotated[bool, typer.Option("--apart", help="Train with APART.", rich_help_panel=_APART)] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Train plainly and with APART, alike in all else.", rich_help_panel=_APART
        ),
    ] = False,
    epsilon: Annotated[
        float | None,
        typer.Option(help="Relative size of the perturbation.", rich_help_panel=_APART, show_default="0.1"),
    ] = None,
    groups: Annotated[
        int | None,
        typer.Option(
            help="Groups of the second pass with statistics of their own.",
            rich_help_panel=_APART,
            show_default="16",
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            help="Images of the second pass over images of the first.",
            rich_help_panel=_APART,
            show_default="1",
        ),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate",
            help="Train nothing: measure the checkpoint, and what --out holds.",
            rich_help_panel=_MEASURING,
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Measure on a seeded, class-balanced sample of N images.",
            rich_help_panel=_MEASURING,
            show_default="all",
        ),
    ] = None,
    norm: Annotated[
        NormName, typer.Option(help="Norm of the PGD attack.", rich_help_panel=_MEASURING)
    ] = "linf",
    eps: Annotated[
        str | None,
        typer.Option(
            help="Its radius in pixel units.",
            rich_help_panel=_MEASURING,
            show_default="usual for the data set",
        ),
    ] = None,
    device: shared.Device = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that read images ahead.", rich_help_panel=shared.OUTPUT)
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run's files; the same command goes on with what is there.",
            rich_help_panel=shared.OUTPUT,
            show_default="a dated folder under runs/",
        ),
    ] = None,
    overwrite: shared.Overwrite = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the latest unfinished run of these settings under runs/.",
            rich_help_panel=shared.OUTPUT,
        ),
    ] = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    debug: shared.Debug = False,  # noqa: ARG001  # main() looks for it, so that it holds for every error
) -> None:
    """Train a BatchNorm model on, plain or with APART, and measure it before and after.

    Without a checkpoint it trains the bundled digits model. Try: advbench finetune --apart
    """
    from advbench.cli.training_session import run  # noqa: PLC0415  # imports torch; --help must not

    if scratch and checkpoint is not None:
        raise SpecError("give --checkpoint or --scratch, not both.")
    perturbation = _perturbation(epsilon, groups, ratio, wanted=apart or compare)
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        momentum=momentum,
        weight_decay=weight_decay,
        precision=precision,
        seed=seed,
        sync_bn=sync_bn,
        drop_last=perturbation is not None and perturbation.groups > 1,
    )
    subject = SubjectOptions(
        checkpoint=checkpoint,
        model=model,
        weights=weights,
        mean=mean,
        std=std,
        normalization=normalization,
        trust_program=False,
        dataset=dataset,
        data_root=data_root,
        split=split,
        download=download,
        image_size=image_size,
        channels=channels,
        classes=classes,
        class_index=class_index,
        limit=limit,
        first=None,
        seed=seed,
        defenses=(),
        norm=norm,
        eps=eps,
        device=device,
        untrained=scratch,
    )
    options = FinetuneOptions(
        command=("advbench", *(context.obj or ())),
        subject=subject,
        train_split=train_split,
        train_limit=train_limit,
        held_out=held_out,
        recipe=recipe,
        perturbation=perturbation,
        plain=compare or not apart,
        augment=augment,
        evaluate=evaluate,
        workers=workers,
        out=out,
        overwrite=overwrite,
        resume=resume,
        json=json,
        quiet=quiet,
    )
    run(options)


def _perturbation(
    epsilon: float | None, groups: int | None, ratio: float | None, *, wanted: bool
) -> Perturbation | None:
    given = {"epsilon": epsilon, "groups": groups, "ratio": ratio}
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen and not wanted:
        raise SpecError(f"--{next(iter(chosen))} is a setting of APART; add --apart or --compare.")
    return Perturbation(**chosen) if wanted else None  # type: ignore[arg-type]  # groups is the only int
