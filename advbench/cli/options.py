"""The words of the commands, as they were given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from advbench.training.recipe import Augment, Perturbation, Recipe

if TYPE_CHECKING:
    from advbench.reports.style import Style

NormalizationWord = Literal["none", "dataset", "half", "imagenet", "255"]
NormName = Literal["linf", "l2", "l1"]
PrecisionName = Literal["fp32", "bf16", "auto"]
BatchSizeWord = int | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class SubjectOptions:
    """What is attacked, and within which bounds; None where a default is to be found.

    `class_names` is what a file of `classes` or `class_index` said, where a run has kept it.
    """

    checkpoint: Path | None
    model: str | None
    dataset: str | None
    data_root: Path
    device: str
    eps: str | None
    norm: NormName = "linf"
    mean: str | None = None
    std: str | None = None
    normalization: NormalizationWord | None = None
    trust_program: bool = False
    split: str = "test"
    download: bool = False
    image_size: int | None = None
    channels: int | None = None
    classes: Path | None = None
    class_index: Path | None = None
    class_names: tuple[tuple[tuple[str, int], ...], int] | None = None
    limit: int | None = None
    first: int | None = None
    seed: int = 0
    defenses: tuple[str, ...] = ()
    untrained: bool = False
    weights: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttackOptions:
    """The words of one `advbench attack`; None where a default is to be found."""

    command: tuple[str, ...]
    subject: SubjectOptions
    bpda: bool
    ladder: bool
    fail_on: str
    min_robust: float | None
    rungs: str
    gradient_free: str
    substitutes: tuple[str, ...]
    calibration: int
    attacks: tuple[str, ...]
    steps: int | None
    step_size: str | None
    restarts: int | None
    random_start: bool
    eot: int
    judge_draws: int
    fast: bool
    precision: PrecisionName
    compiled: bool
    batch_size: BatchSizeWord
    out: Path | None
    overwrite: bool
    save_adversarial: Literal["all", "successful"] | None
    formats: str
    style: "Style"
    json: bool
    quiet: bool


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The words of one `advbench sweep`."""

    command: tuple[str, ...]
    file: Path
    dry_run: bool
    out: Path | None
    overwrite: bool
    formats: str
    style: "Style"
    json: bool
    quiet: bool
    debug: bool


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """The words of one `advbench report`; None where a default is to be found."""

    command: tuple[str, ...]
    runs: tuple[Path, ...]
    baseline: Path | None
    out: Path | None
    overwrite: bool
    formats: str | None
    figures: str
    data_root: Path | None
    watch: bool
    style: "Style"
    json: bool
    quiet: bool


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """The words of one `advbench verify`; None where the run's own word holds."""

    run: Path
    checkpoint: Path | None
    model: str | None
    defenses: tuple[str, ...]
    trust_program: bool
    data_root: Path | None
    device: str
    as_8bit: bool
    json: bool
    quiet: bool


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """The words of one `advbench finetune`; None where a default is to be found."""

    command: tuple[str, ...]
    subject: SubjectOptions
    train_split: str
    train_limit: int | None
    held_out: int | None
    recipe: Recipe
    perturbation: Perturbation | None
    plain: bool
    augment: Augment | None
    evaluate: bool
    workers: int
    out: Path | None
    overwrite: bool
    resume: bool
    json: bool
    quiet: bool
