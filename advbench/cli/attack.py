"""`advbench attack`: one model, some defenses, the table."""

import functools
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from advbench.cli import complete
from advbench.cli import shared_options as shared
from advbench.cli.options import AttackOptions, BatchSizeWord, NormName, PrecisionName, SubjectOptions
from advbench.cli.table_options import Columns, Digits, Percent, Sort, read_style
from advbench.errors import SpecError

_ATTACK = "Defense and attack"


def attack_options(  # noqa: PLR0917  # typer reads options from parameters, as `settings.py` does for a sweep
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights: .pt, .pth, .th, .safetensors; TorchScript and .pt2 with --trust-program.",
            rich_help_panel=shared.MODEL,
            show_default="the model's own",
        ),
    ] = None,
    model: shared.Model = None,
    weights: shared.Weights = None,
    mean: shared.Mean = None,
    std: shared.Std = None,
    normalization: shared.Normalization = None,
    trust_program: Annotated[
        bool,
        typer.Option(
            "--trust-program",
            help="Run TorchScript and .pt2 files, which may hold any code.",
            rich_help_panel=shared.MODEL,
        ),
    ] = False,
    dataset: shared.Dataset = None,
    data_root: shared.DataRoot = Path("data"),
    split: Annotated[str, typer.Option(help="Which part of it.", rich_help_panel=shared.DATA)] = "test",
    download: shared.Download = False,
    image_size: shared.ImageSize = None,
    channels: shared.Channels = None,
    classes: shared.Classes = None,
    class_index: shared.ClassIndex = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="A seeded, class-balanced sample of N images.",
            rich_help_panel=shared.DATA,
            show_default="all",
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(
            min=1, help="The first N images instead.", rich_help_panel=shared.DATA, show_default="all"
        ),
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
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="All rungs: static, shattered, bpda, gradient-free, and the worst of them.",
            rich_help_panel=_ATTACK,
        ),
    ] = False,
    fail_on: Annotated[
        str,
        typer.Option(
            help="Exit code 1 where a row's verdict is one of these: masked, unreliable, "
            "not-enough-evidence, not-robust (of the defenses, where there are any); implies --ladder.",
            rich_help_panel=shared.OUTPUT,
            show_default="none",
        ),
    ] = "",
    min_robust: Annotated[
        float | None,
        typer.Option(
            help="Exit code 1 where less than this fraction of the images stands on every rung, behind the "
            "defenses if there are any, or where the verdict is masked or unreliable; implies --ladder.",
            rich_help_panel=shared.OUTPUT,
            show_default="none",
        ),
    ] = None,
    rungs: Annotated[
        str,
        typer.Option(
            help="Rungs beside clean and shattered: static, bpda, gradient_free, worst.",
            rich_help_panel=_ATTACK,
            show_default="none",
        ),
    ] = "",
    gradient_free: Annotated[
        str,
        typer.Option(
            help="Attack of the gradient-free rung.",
            rich_help_panel=_ATTACK,
            show_default="square, 1000 queries",
        ),
    ] = "square:queries=1000",
    substitute: Annotated[
        list[str] | None,
        typer.Option(
            help="Substitute of --bpda, which it implies: NAME (identity, exact, smooth, soft, learned, "
            "finite-difference, skip), package.module:function or file.py:function, for a chain a+b; repeat "
            "it to search among several; or search.",
            rich_help_panel=_ATTACK,
            show_default="what the defense lists; search where it lists several",
        ),
    ] = None,
    calibration: Annotated[
        int,
        typer.Option(min=1, help="Images on which a search grades substitutes.", rich_help_panel=_ATTACK),
    ] = 64,
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
            help="Its radius in pixel units: 8/255 or 0.03; several, 2/255,4/255,inf, for a curve.",
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
    eot: Annotated[
        int,
        typer.Option(
            min=1,
            help="Draws of a random defense behind each gradient (expectation over transformation).",
            rich_help_panel=_ATTACK,
        ),
    ] = 20,
    judge_draws: Annotated[
        int,
        typer.Option(
            min=1,
            help="Draws of a random defense in which an example is judged; the majority counts.",
            rich_help_panel=_ATTACK,
        ),
    ] = 21,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.", rich_help_panel=_ATTACK)] = 0,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast/--no-fast",
            help="Attack a copy of the model with BatchNorm folded; the judge sees the model itself.",
            rich_help_panel=_ATTACK,
        ),
    ] = True,
    precision: Annotated[
        PrecisionName,
        typer.Option(
            help="Of the model under attack; bf16 is judged in fp32, and attacked again where that differs.",
            rich_help_panel=_ATTACK,
        ),
    ] = "fp32",
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile",
            help="Compile the model under attack, where the attacks may take long enough to pay for it.",
            rich_help_panel=_ATTACK,
        ),
    ] = False,
    batch_size: Annotated[
        str,
        typer.Option(
            help="Images at a time, or auto: chosen by a probe. Halved where memory runs out.",
            rich_help_panel=shared.OUTPUT,
        ),
    ] = "auto",
    device: shared.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run's files.",
            rich_help_panel=shared.OUTPUT,
            show_default="a dated folder under runs/",
        ),
    ] = None,
    overwrite: shared.Overwrite = False,
    save_adversarial: Annotated[
        bool,
        typer.Option(
            "--save-adversarial",
            help="Keep the adversarial examples, for 'advbench verify'.",
            rich_help_panel=shared.OUTPUT,
        ),
    ] = False,
    successful_only: Annotated[
        bool,
        typer.Option(
            "--successful-only",
            help="Of these, only the ones that fool the model.",
            rich_help_panel=shared.OUTPUT,
        ),
    ] = False,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Tables to write: csv, markdown, latex, json; html: a page.",
            rich_help_panel=shared.OUTPUT,
        ),
    ] = "csv,markdown",
    columns: Columns = None,
    sort: Sort = "",
    percent: Percent = True,
    digits: Digits = None,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    debug: shared.Debug = False,  # noqa: ARG001  # main() looks for it, so that it holds for every error
) -> AttackOptions:
    """Attack a classifier behind defenses and write the table: clean, shattered and BPDA accuracy.

    Without any option it attacks the bundled digits model. Try: advbench attack --defense round --bpda
    """
    if successful_only and not save_adversarial:
        raise SpecError("--successful-only says which examples --save-adversarial keeps; give both.")
    subject = SubjectOptions(
        checkpoint=checkpoint,
        model=model,
        weights=weights,
        mean=mean,
        std=std,
        normalization=normalization,
        trust_program=trust_program,
        dataset=dataset,
        data_root=data_root,
        split=split,
        download=download,
        image_size=image_size,
        channels=channels,
        classes=classes,
        class_index=class_index,
        limit=limit,
        first=first,
        seed=seed,
        defenses=tuple(defense or ()),
        norm=norm,
        eps=eps,
        device=device,
    )
    return AttackOptions(
        command=("advbench", *(context.obj or ())),
        subject=subject,
        bpda=bpda or bool(substitute),
        ladder=ladder or bool(fail_on) or min_robust is not None,
        fail_on=fail_on,
        min_robust=min_robust,
        rungs=rungs,
        gradient_free=gradient_free,
        substitutes=tuple(substitute or ()),
        calibration=calibration,
        attacks=tuple(attack or ("pgd",)),
        steps=steps,
        step_size=step_size,
        restarts=restarts,
        random_start=random_start,
        eot=eot,
        judge_draws=judge_draws,
        fast=fast,
        precision=precision,
        compiled=compiled,
        batch_size=parse_batch_size(batch_size),
        out=out,
        overwrite=overwrite,
        save_adversarial=("successful" if successful_only else "all") if save_adversarial else None,
        formats=formats,
        style=read_style(columns, sort, percent=percent, digits=digits),
        json=json,
        quiet=quiet,
    )


@functools.wraps(attack_options)
def attack(*words: Any, **options: Any) -> None:
    """Read the options, then run: a sweep reads the same ones from a file."""
    read = attack_options(*words, **options)
    if "," in (read.subject.eps or ""):
        from advbench.cli import curve  # noqa: PLC0415  # imports torch; --help must not

        curve.run(read, options)
        return
    from advbench.cli.session import run  # noqa: PLC0415  # imports torch; --help must not

    run(read)


def parse_batch_size(text: str) -> BatchSizeWord:
    """Read `auto` or a number of images.

    Raises:
        SpecError: neither.
    """
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise SpecError(f"--batch-size must be auto or a whole number of at least 1, got {text!r}.")
    return int(text)
