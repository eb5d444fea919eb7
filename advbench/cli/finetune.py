"""`advbench finetune`: train a model on, plain or with APART, and measure what came of it."""

from advbench.cli import complete
from advbench.cli.typed import command
from advbench.jobs.settings.train import TrainSettings


def _finetune(settings: TrainSettings) -> None:
    """Train a BatchNorm model on, plain or with APART, and measure it before and after.

    Without a checkpoint it trains the bundled digits model. Try: advbench finetune --apart
    """
    from advbench.cli.training_session import run  # noqa: PLC0415  # imports torch; --help must not

    run(settings)


finetune = command(
    TrainSettings,
    _finetune,
    {"model": complete.complete_model, "dataset": complete.complete_dataset},
)
