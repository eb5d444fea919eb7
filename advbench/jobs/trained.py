"""What a training came to: measurements before and after, epochs, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import final

import pandas as pd
from torch import nn

from advbench.errors import SpecError
from advbench.reports.training import (
    TRAINING_FILES,
    TrainingFormat,
    render_training,
    training_frame,
    training_html,
)
from advbench.results.trained import Measured, Paired
from advbench.training.state import EpochRecord


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Training:
    """A training that came to its end; where nothing was to be trained, what was measured alone.

    Args:
        path: its folder; None where nothing was trained.
        caption: what holds for every row.
        rows: the accuracies of every model, `before` first.
        pairs: comparisons of the models on the same clean images.
        epochs: what each epoch came to, by the way of training: `plain`, `apart`.
        checkpoints: the last weights of each way, as `--checkpoint` reads them.
        models: pixels in [0, 1] to logits, by their names in the rows.
        origin: where the numbers come from, a few words each.
    """

    path: Path | None
    caption: str
    rows: tuple[Measured, ...]
    pairs: tuple[Paired, ...]
    epochs: Mapping[str, Sequence[EpochRecord]]
    checkpoints: Mapping[str, Path]
    models: Mapping[str, nn.Module]
    origin: Mapping[str, str]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table: one line a model and measurement, accuracies as fractions."""
        return training_frame(self.rows)

    @property
    def history(self) -> pd.DataFrame:
        """The epochs as a table, with the way of training in its first column."""
        names = [field.name for field in fields(EpochRecord)]
        lines = [{"way": way, **asdict(epoch)} for way, epochs in self.epochs.items() for epoch in epochs]
        return pd.DataFrame(lines, columns=["way", *names])

    def table(self, format: TrainingFormat = "markdown") -> str:  # noqa: A002  # as of a run
        """The table as text, as `advbench finetune` writes it: `csv`, `markdown` or `json`.

        Raises:
            SpecError: another format.
        """
        if format not in TRAINING_FILES:
            raise SpecError(
                f"there is no format {format!r} of a training; known: {', '.join(TRAINING_FILES)}."
            )
        return render_training(self.caption, self.rows, self.pairs, format, self.origin)

    def model(self, way: str) -> nn.Module:
        """A model with the weights of its last epoch; `before` is the one that the training began with.

        Args:
            way: `before`, `plain` or `apart`.

        Returns:
            Pixels in [0, 1], `(n, c, h, w)`, to logits, `(n, k)`; in evaluation mode.

        Raises:
            SpecError: a way in which nothing was trained.
        """
        if way not in self.models:
            raise SpecError(f"nothing was trained {way!r}; there are: {', '.join(self.models)}.")
        return self.models[way].eval()

    def __repr__(self) -> str:
        """What was trained, in a line."""
        return f"<Training {self.path or 'of nothing'}: {self.caption}; {', '.join(self.models)}>"

    def _repr_html_(self) -> str:
        """The table, as notebooks show it."""
        return training_html(self.caption, self.rows, self.pairs)
