"""What is told of a model that adapts at test time, as rows of a table."""

from typing import Final

from advbench.errors import SpecError
from advbench.names.adaptation import Protocol, adaptation_word, adapts

from .option import Option

_PANEL: Final = "Defense and attack"

EPISODIC: Final = Option(
    help="The model adapts to its batch: judge it in batches of N images in the order of the run, each from "
    "its initial state, as a row of its own; N or batch=N,attacked=one.",
    panel=_PANEL,
    shown="no",
    in_files=False,
)
STREAM: Final = Option(
    help="As --episodic, and the model goes on from batch to batch.", panel=_PANEL, shown="no", in_files=False
)


def with_adaptation(
    defenses: tuple[str, ...],
    episodic: str | None,
    stream: str | None,
    *,
    tested: bool,
    successful: bool,
    stood_in: bool,
) -> tuple[str, ...]:
    """The rows of a table, with those of a model that adapts.

    Args:
        defenses: the rows that are named.
        episodic: the declared batch behind `--episodic`.
        stream: that behind `--stream`.
        tested: whether the attacks are tested.
        successful: whether examples that fool alone are kept.
        stood_in: whether another model gives gradients or static examples.

    Raises:
        SpecError: what is no batch, or does not go together with one.
    """
    given: list[tuple[Protocol, str | None]] = [("episodic", episodic), ("stream", stream)]
    words = [adaptation_word(protocol, text) for protocol, text in given if text is not None]
    joined = (*defenses, *(word for word in words if word not in defenses))
    if adapts(joined) and tested:
        raise SpecError("--test binarization wants a model that answers image by image, not one that adapts.")
    if adapts(joined) and successful:
        raise SpecError(
            "--successful-only would keep parts of batches, and a model that adapts is judged again in "
            "whole ones: give --save-adversarial alone."
        )
    if adapts(joined) and stood_in:
        raise SpecError(
            "--surrogate and --source do not go with a model that adapts: its static network stands in."
        )
    return joined
