"""A submission to RobustBench: its JSON, the text of its form, and what the adversarial tensor must be.

The keys are those of RobustBench's `model_info/DATASET/THREAT/NAME.json` (Croce et al. 2021). What only the
authors know (title, authors, venue, links) stays null, as RobustBench's own `benchmark(to_disk=True)` leaves
it. A board takes the whole test set, a deterministic model, and either AutoAttack's number or, from another
evaluation, a lower one with its images.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from advbench.errors import InputError, printable

from .outcomes import Outcome

KEYS: Final = (
    "link",
    "name",
    "authors",
    "additional_data",
    "number_forward_passes",
    "dataset",
    "venue",
    "architecture",
    "eps",
    "clean_acc",
    "reported",
    "autoattack_acc",
    "external",
    "footnote",
    "unreliable",
)
"""Keys of a file of `model_info` for the boards of L-inf and L2."""

BOARDS: Final[Mapping[str, int]] = {"cifar10": 10_000, "cifar100": 10_000}
"""Images of each test set. ImageNet's board has 5,000 of its own choice, which no run holds."""

THREATS: Final[Mapping[str, str]] = {"linf": "Linf", "l2": "L2"}


class Submission(NamedTuple):
    """What goes to RobustBench."""

    files: dict[str, str]
    """The JSON and the form, by their names."""
    tensor: str
    """What the file of adversarial images is called."""


def submission(outcome: Outcome, model: str, boards: Mapping[str, int] = BOARDS) -> Submission:
    """The JSON and the form of one row.

    Args:
        outcome: the row.
        model: how RobustBench calls the model, `Rice2020Overfitting`.
        boards: images of each test set.

    Raises:
        InputError: the row does not fit a board.
    """
    _check(outcome, boards)
    row, threat = outcome.row, THREATS[outcome.row.norm]
    worst = _per_cent(row.rates["worst"].accuracy)
    by_autoattack = row.attack == "autoattack"
    known: dict[str, Any] = {
        "number_forward_passes": 1,
        "dataset": row.dataset,
        "eps": row.eps,
        "clean_acc": _per_cent(row.rates["clean"].accuracy),
        "autoattack_acc" if by_autoattack else "external": worst,
        "unreliable": False,
    }
    info = {key: known.get(key) for key in KEYS}
    board = f"{row.dataset}, {threat}, eps = {row.eps}"
    tensor = f"{model}.pt"
    return Submission(
        files={
            f"model_info/{row.dataset}/{threat}/{model}.json": json.dumps(info, indent=2) + "\n",
            f"{model}.md": _form(outcome, model, board, tensor),
        },
        tensor=tensor,
    )


def _check(outcome: Outcome, boards: Mapping[str, int]) -> None:
    row = outcome.row
    if row.dataset not in boards:
        raise InputError(
            f"RobustBench's boards that fit are {', '.join(boards)}; the run's images are {row.dataset}."
        )
    if row.norm not in THREATS:
        raise InputError(f"RobustBench's threats are {', '.join(THREATS)}; the run's is {row.norm}.")
    if row.n != boards[row.dataset]:
        raise InputError(
            f"RobustBench takes the whole test set of {boards[row.dataset]:,} images; the run has {row.n:,}."
        )
    if "worst" not in row.rates or outcome.state == "unsound":
        raise InputError(
            f"the row {row.defense} is {outcome.kind}: attack with --ladder, and mend what is unreliable."
        )
    if row.judge or any(rate.spread is not None for rate in row.rates.values()):
        raise InputError(f"RobustBench takes no random defense, and {row.defense} is one.")


def _form(outcome: Outcome, model: str, board: str, tensor: str) -> str:
    """The text of the form "New external evaluation(s)"; links are left to whoever uploads the tensor."""
    row = outcome.row
    rungs = [rung for rung in row.rates if rung not in ("clean", "worst")]
    return "\n".join(
        [
            "## Target model",
            f"+ **Model identifier(s):** {model}",
            f"+ **Leaderboard(s):** {board}",
            "",
            "## New evaluation",
            f"+ **Link to adversarial images:** <upload {tensor} and put its address here>",
            f"+ **Robust accuracy:** {_per_cent(row.rates['worst'].accuracy)} %"
            f" ({row.rates['worst'].count} of {row.n})",
            "+ **Author(s):** <names>",
            f"+ **Description of the method used:** advbench, defense {row.defense}, attack {row.attack}, "
            f"the worst of {', '.join(rungs)}; `{printable(outcome.command)}`",
            "",
        ]
    )


def _per_cent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}"
