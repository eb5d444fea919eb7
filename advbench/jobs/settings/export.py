"""What an export can be told: `advbench export`."""

from dataclasses import dataclass
from pathlib import Path

from . import shared
from .option import option


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Everything that one export is told; None where a default is to be found."""

    runs: tuple[Path, ...] = option(help="Folders of finished runs or sweeps.", argument=True)
    formats: str = option(
        "sarif",
        word="--format",
        help="Comma-separated: sarif, junit (CI); hf, model-card (Hugging Face); robustbench; tensorboard, "
        "mlflow, wandb (their own local files).",
    )
    out: Path | None = option(
        None, help="Folder to write to.", shown="none; a single file of text goes to stdout"
    )
    overwrite: bool = option(False, help="Replace files of the same names in --out.")
    defenses: tuple[str, ...] = option(
        (),
        word="--defense",
        help="Only rows of this defense, as it was written; repeat it for more.",
        shown="all",
    )
    attacks: tuple[str, ...] = option(
        (), word="--attack", help="Only rows of this attack, likewise.", shown="all"
    )
    model_name: str = option(
        "", help="How the Hub or RobustBench calls the model.", shown="the run's, where a format allows it"
    )
    hub_dataset: str = option("", help="For hf: the id of a benchmark on the Hub, OWNER/NAME.", shown="none")
    hub_task: str = option("default", help="For hf: a task of the benchmark's eval.yaml.")
    source: str = option("", help="For hf: a link to the run's evidence.", shown="none")
    data_root: Path | None = option(
        None, help="For robustbench: where the data set is now.", shown="as in the run"
    )
    quiet: bool = option(False, like=shared.QUIET, panel=None)
    debug: bool = option(False, like=shared.DEBUG, panel=None)
