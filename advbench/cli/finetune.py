"""`advbench finetune`: train a model on, plain or with APART, and measure what came of it."""

import sys

from advbench.cli import complete
from advbench.cli.typed import command
from advbench.jobs.settings.train import TrainSettings


def _finetune(settings: TrainSettings) -> None:
    """Train a BatchNorm model on, plain or with APART, and measure it before and after.

    Without a checkpoint it trains the bundled digits model. Try: advbench finetune --apart
    """
    # They import torch or rich; --help must not.
    from rich.console import Console  # noqa: PLC0415

    from advbench.cli.bar import watched  # noqa: PLC0415
    from advbench.cli.voice import one_voice  # noqa: PLC0415
    from advbench.jobs.finetune import perform_training  # noqa: PLC0415
    from advbench.jobs.ranks import join_ranks  # noqa: PLC0415
    from advbench.reports.training import print_training  # noqa: PLC0415

    ranks = join_ranks()
    with one_voice(ranks):
        with watched(quiet=settings.quiet, rank=ranks.rank) as bar:
            training = perform_training(settings, ranks, bar)
        if training is None:
            return
        if settings.json:
            sys.stdout.write(training.table("json"))
        else:
            print_training(training.caption, training.rows, training.pairs, Console())
        if training.path is not None:
            bar.note(f"written to {training.path}")


finetune = command(
    TrainSettings,
    _finetune,
    {"model": complete.complete_model, "dataset": complete.complete_dataset},
)
