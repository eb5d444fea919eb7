"""What the beginning of a sweep can be told: `advbench init`."""

from dataclasses import dataclass
from pathlib import Path

from . import shared
from .option import option


@dataclass(frozen=True, kw_only=True)
class InitSettings:
    """Everything that a new sweep is told; None where the question was not asked yet."""

    file: Path = option(Path("sweep.toml"), help="The file to write.", argument=True)
    model: str | None = option(None, like=shared.NAMED_MODEL, panel=None)
    checkpoint: Path | None = option(None, help="The model's weights.", shown="none")
    dataset: str | None = option(None, like=shared.DATASET, help="Data set to take images from.", panel=None)
    data_root: Path | None = option(None, help="Folder that holds the data set.", shown="data")
    defenses: tuple[str, ...] = option(
        (),
        word="--defense",
        help="A defense, as NAME[:key=value] or file.py:name; repeat it for more.",
        shown="round, bit-depth:bits=3",
    )
    limit: int = option(100, help="Images of a class-balanced sample.", least=1)
    yes: bool = option(False, help="Ask nothing: what is not given has its default.", short="-y")
    overwrite: bool = option(False, help="Replace the file if it is there.")
    debug: bool = option(False, like=shared.DEBUG, panel=None)
