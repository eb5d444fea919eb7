"""What a training can be told: `advbench finetune`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from advbench.errors import SpecError
from advbench.training.recipe import Augment, Perturbation, Precision, Recipe, Schedule

from . import shared
from .option import option
from .subject import USUAL_ROOT, NormalizationWord, NormName, SubjectOptions, subject_of

_TRAINING: Final = "Training"
_APART: Final = "APART"
_MEASURING: Final = "Measuring"


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything that one training is told; None where a default is to be found.

    Args:
        command: the words that started the training, for its record.
        settings_file: what of it came from which settings file, for its record.

    Raises:
        SpecError: settings that do not fit each other, or numbers out of their range.
    """

    checkpoint: Path | None = option(
        None,
        help="Weights to begin with: .pt, .pth, .th, .safetensors.",
        panel=shared.MODEL,
        shown="the model's own",
    )
    model: str | None = option(None, like=shared.NAMED_MODEL)
    scratch: bool = option(False, help="Begin with untrained weights.", panel=shared.MODEL)
    weights: str | None = option(None, like=shared.WEIGHTS)
    mean: str | None = option(None, like=shared.MEAN)
    std: str | None = option(None, like=shared.STD)
    normalization: NormalizationWord | None = option(None, like=shared.NORMALIZATION)
    dataset: str | None = option(None, like=shared.DATASET)
    data_root: Path = option(USUAL_ROOT, like=shared.DATA_ROOT)
    train_split: str = option("train", help="Part to train on.", panel=shared.DATA)
    split: str = option("test", help="Part to measure on.", panel=shared.DATA)
    download: bool = option(False, like=shared.DOWNLOAD)
    image_size: int | None = option(None, like=shared.IMAGE_SIZE)
    channels: int | None = option(None, like=shared.CHANNELS)
    image_column: str | None = option(None, like=shared.IMAGE_COLUMN)
    label_column: str | None = option(None, like=shared.LABEL_COLUMN)
    classes: Path | None = option(None, like=shared.CLASSES)
    class_index: Path | None = option(None, like=shared.CLASS_INDEX)
    train_limit: int | None = option(
        None,
        help="Train on a seeded, class-balanced sample of N images.",
        panel=shared.DATA,
        least=1,
        shown="all",
    )
    held_out: int | None = option(
        None,
        help="Keep N training images back, to choose the best epoch by.",
        panel=shared.DATA,
        least=0,
        shown="a tenth, at most 5000",
    )
    epochs: int = option(30, help="Passes over the images.", panel=_TRAINING)
    batch_size: int = option(128, help="Images a step, over all processes.", panel=_TRAINING)
    lr: float = option(0.1, help="Learning rate at the start.", panel=_TRAINING)
    schedule: Schedule = option(
        "step", help="step: times 0.1 after 1/2 and 3/4 of the epochs.", panel=_TRAINING
    )
    momentum: float = option(0.9, help="Of SGD.", panel=_TRAINING)
    weight_decay: float = option(5e-4, help="Of SGD.", panel=_TRAINING)
    augment: Augment | None = option(
        None,
        help="Random crops after padding by an eighth of the side, and mirror images.",
        panel=_TRAINING,
        shown="crop-flip for photographs, else crop",
    )
    precision: Precision = option("float32", help="Of the forward passes.", panel=_TRAINING)
    seed: int = option(0, help="Seed of every draw.", panel=_TRAINING, least=0, most=2**63 - 1)
    sync_bn: bool = option(False, help="Take batch statistics over all processes.", panel=_TRAINING)
    apart: bool = option(False, help="Train with APART.", panel=_APART)
    compare: bool = option(False, help="Train plainly and with APART, alike in all else.", panel=_APART)
    epsilon: float | None = option(None, help="Relative size of the perturbation.", panel=_APART, shown="0.1")
    groups: int | None = option(
        None, help="Groups of the second pass with statistics of their own.", panel=_APART, shown="16"
    )
    ratio: float | None = option(
        None, help="Images of the second pass over images of the first.", panel=_APART, shown="1"
    )
    evaluate: bool = option(
        False, help="Train nothing: measure the checkpoint, and what --out holds.", panel=_MEASURING
    )
    limit: int | None = option(
        None,
        help="Measure on a seeded, class-balanced sample of N images.",
        panel=_MEASURING,
        least=1,
        shown="all",
    )
    norm: NormName = option("linf", help="Norm of the PGD attack.", panel=_MEASURING)
    eps: str | None = option(
        None, help="Its radius in pixel units.", panel=_MEASURING, shown=shared.EPS_DEFAULT
    )
    device: str = option("auto", like=shared.DEVICE)
    workers: int = option(0, help="Processes that read images ahead.", panel=shared.OUTPUT, least=0)
    out: Path | None = option(
        None,
        help="Folder of the run's files; the same command goes on with what is there.",
        panel=shared.OUTPUT,
        shown="a dated folder under runs/",
    )
    overwrite: bool = option(False, like=shared.OVERWRITE)
    resume: bool = option(
        False,
        help="Go on with the latest unfinished run of these settings under runs/.",
        panel=shared.OUTPUT,
    )
    json: bool = option(False, like=shared.JSON)
    quiet: bool = option(False, like=shared.QUIET)
    debug: bool = option(False, like=shared.DEBUG)
    command: tuple[str, ...] = ()
    settings_file: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.scratch and self.checkpoint is not None:
            raise SpecError("give --checkpoint or --scratch, not both.")
        _ = self.recipe  # whose numbers are checked now

    @property
    def plain(self) -> bool:
        """Whether one of the trainings is plain."""
        return self.compare or not self.apart

    @property
    def perturbation(self) -> Perturbation | None:
        """APART's settings; None for plain training."""
        wanted = self.apart or self.compare
        apart_settings = {"epsilon": self.epsilon, "groups": self.groups, "ratio": self.ratio}
        given = {name: value for name, value in apart_settings.items() if value is not None}
        if given and not wanted:
            raise SpecError(f"--{next(iter(given))} is a setting of APART; add --apart or --compare.")
        return Perturbation(**given) if wanted else None  # type: ignore[arg-type]  # groups is the only int

    @property
    def recipe(self) -> Recipe:
        """How the model is trained, but for what depends on the images: their augmentation, and APART."""
        perturbation = self.perturbation
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            schedule=self.schedule,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=self.seed,
            sync_bn=self.sync_bn,
            drop_last=perturbation is not None and perturbation.groups > 1,
        )

    @property
    def subject(self) -> SubjectOptions:
        """What is trained and measured."""
        return subject_of(self, untrained=self.scratch)
