"""What is attacked, and within which bounds: what runs, trainings and verifications are told alike."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

NormName = Literal["linf", "l2", "l1"]
SpaceName = Literal["input", "image"]
NormalizationWord = Literal["none", "dataset", "half", "imagenet", "255"]


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
    fpr: float | None = None
    reject_class: str | None = None
    untrained: bool = False
    weights: str | None = None
    random_model: bool = False
    members: tuple[Path, ...] = ()
    smooth: str | None = None
    space: SpaceName | None = None
    black_box: bool = False
    black_box_form: str | None = None
    max_queries: int | None = None
    max_rate: int | None = None
    retries: int = 3
    retry_wait: int = 1


def subject_of(settings: object, **others: Any) -> SubjectOptions:
    """What a settings class says about its subject: the fields of the same names, and `others`."""
    shared = {field.name for field in fields(SubjectOptions)} & vars(settings).keys()
    return SubjectOptions(**{name: getattr(settings, name) for name in shared}, **others)
