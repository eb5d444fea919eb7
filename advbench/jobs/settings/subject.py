"""What is attacked, and within which bounds: what runs, trainings and verifications are told alike."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from advbench.errors import SpecError

NormName = Literal["linf", "l2", "l1"]
SpaceName = Literal["input", "image"]
NormalizationWord = Literal["none", "dataset", "half", "imagenet", "255"]

USUAL_ROOT: Final = Path("data")
"""Where data sets are looked for if nothing is said."""


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
    image_column: str | None = None
    label_column: str | None = None
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

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a table of pictures, as far as they are told."""
        columns = {"image_column": self.image_column, "label_column": self.label_column}
        return {option: name for option, name in columns.items() if name is not None}


def subject_of(settings: object, **others: Any) -> SubjectOptions:
    """What a settings class says about its subject: the fields of the same names, and `others`.

    `dataset="hf:pets"` is short for `dataset="hf"` and `data_root="pets"`.

    Raises:
        SpecError: nothing behind the colon of a data set's name, or a place there and a `data_root` too.
    """
    shared = {field.name for field in fields(SubjectOptions)} & vars(settings).keys()
    values = {name: getattr(settings, name) for name in shared}
    name, colon, place = (values["dataset"] or "").partition(":")
    if colon:
        if not place:
            raise SpecError(f"--dataset {name}: lacks its place: write {name}:PATH, or {name} alone.")
        if values["data_root"] != USUAL_ROOT:
            raise SpecError(
                f"--dataset {name}:{place} and --data-root {values['data_root']} name two places; give one."
            )
        values |= {"dataset": name, "data_root": Path(place)}
    return SubjectOptions(**values, **others)
