"""Formats in which a report's rows travel to other programs: what each is for, and what it needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from advbench.errors import InputError
from advbench.files import write_whole

from .hub import HubNames, eval_results, model_card
from .junit import junit
from .outcomes import Outcome
from .robustbench import submission
from .sarif import sarif
from .trackers import TRACKERS

ExampleFile = Callable[[Outcome], bytes]
"""Gives the adversarial images of a row as the contents of a `.pt` file."""


def _no_examples(outcome: Outcome) -> bytes:
    raise InputError(f"the examples of {outcome.name} are not at hand.")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What is exported.

    Args:
        outcomes: the rows of a report.
        hub: how the Hugging Face Hub calls what was measured.
        examples: gives the adversarial images of a row, which are read where a format asks for them.
    """

    outcomes: Sequence[Outcome]
    hub: HubNames = field(default_factory=HubNames)
    examples: ExampleFile = _no_examples

    @property
    def single(self) -> Outcome:
        """The only row.

        Raises:
            InputError: there are several.
        """
        if len(self.outcomes) != 1:
            names = ", ".join(outcome.name for outcome in self.outcomes)
            raise InputError(f"this format takes one row; choose with --defense and --attack among: {names}.")
        return self.outcomes[0]


@dataclass(frozen=True, kw_only=True)
class Export:
    """One format.

    Args:
        summary: what it is, in a line.
        needs: what a run or the user must bring; empty for nothing.
        files: the files by their names; None where the format's own library writes them.
    """

    summary: str
    needs: str = ""
    files: Callable[[Exported], Mapping[str, bytes]] | None = None


def _sarif(exported: Exported) -> dict[str, bytes]:
    return {"advbench.sarif": sarif(exported.outcomes).encode()}


def _junit(exported: Exported) -> dict[str, bytes]:
    return {"junit.xml": junit(exported.outcomes).encode()}


def _eval_results(exported: Exported) -> dict[str, bytes]:
    files = eval_results(exported.outcomes, exported.hub)
    return {name: text.encode() for name, text in files.items()}


def _model_card(exported: Exported) -> dict[str, bytes]:
    return {"model-card.md": model_card(exported.outcomes, exported.hub).encode()}


def _robustbench(exported: Exported) -> dict[str, bytes]:
    if not exported.hub.model:
        raise InputError(
            "a submission needs the model's name on RobustBench: --model-name Rice2020Overfitting."
        )
    outcome = exported.single
    made = submission(outcome, exported.hub.model)
    files = {name: text.encode() for name, text in made.files.items()}
    return {**files, made.tensor: exported.examples(outcome)}


EXPORTS: Final[Mapping[str, Export]] = {
    "sarif": Export(summary="SARIF 2.1.0, for code scanning", needs="--ladder for verdicts", files=_sarif),
    "junit": Export(summary="JUnit XML, for any CI", needs="--ladder for verdicts", files=_junit),
    "hf": Export(
        summary="files of .eval_results for the Hugging Face Hub",
        needs="--ladder, and --hub-dataset with the id of a benchmark",
        files=_eval_results,
    ),
    "model-card": Export(summary="a section of a model card, with its metadata", files=_model_card),
    "robustbench": Export(
        summary="a submission to RobustBench: JSON, form and adversarial images",
        needs="--ladder --save-adversarial on the whole test set of cifar10 or cifar100, and --model-name",
        files=_robustbench,
    ),
    "tensorboard": Export(summary="events for TensorBoard", needs="the extra tensorboard"),
    "mlflow": Export(summary="runs in a local MLflow file", needs="the extra mlflow"),
    "wandb": Export(summary="offline runs of Weights & Biases", needs="the extra wandb"),
}


def write_exports(folder: Path, formats: Sequence[str], exported: Exported, *, overwrite: bool) -> list[str]:
    """Write the files of every format.

    Args:
        folder: where they go; what does not exist is made.
        formats: names of `EXPORTS`.
        exported: what is exported.
        overwrite: whether files of these names may be replaced.

    Returns:
        The names of the files, and of the folders that trackers have written.

    Raises:
        InputError: a format that cannot be made of these rows, or a file that is there.
    """
    files: dict[str, bytes] = {}
    trackers = [form for form in formats if form in TRACKERS]
    for form in formats:
        make = EXPORTS[form].files
        files |= {} if make is None else make(exported)
    there = [name for name in (*files, *trackers) if (folder / name).exists()]
    if there and not overwrite:
        raise InputError(f"{folder / there[0]} is there. Give another --out, or --overwrite.")
    try:
        for name, contents in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, contents)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}.") from error
    for form in trackers:
        TRACKERS[form](exported.outcomes, folder / form)
    return [*files, *(f"{form}/" for form in trackers)]


def single_text(form: str, exported: Exported) -> str:
    """The only file of a format as text.

    Raises:
        InputError: it has several, or none that is text.
    """
    make = EXPORTS[form].files
    files = {} if make is None else make(exported)
    if len(files) != 1:
        raise InputError(f"{form} needs a folder for its files: --out DIR.")
    return next(iter(files.values())).decode()
