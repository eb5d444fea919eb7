"""Results for the Hugging Face Hub: files of `.eval_results/`, and a section of a model card.

A file of `.eval_results/` bears one number for one benchmark, so only rows travel whose number means
something: those that climbed the ladder and are not unreliable. The number is what stands on every rung.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from advbench.errors import InputError, printable
from advbench.results.records import Rate

from .formats import markdown
from .outcomes import Outcome
from .yaml_text import yaml_text

FOLDER: Final = ".eval_results"
TASK: Final = "image-classification"


@dataclass(frozen=True, kw_only=True)
class HubNames:
    """How the Hub calls what was measured.

    Args:
        dataset: the id of a benchmark's data set, `OWNER/NAME`; empty where none was told.
        task: a task of its `eval.yaml`.
        model: the model's id.
        source: a link to the evidence; empty for none.
    """

    dataset: str = ""
    task: str = "default"
    model: str = ""
    source: str = ""


def eval_results(outcomes: Sequence[Outcome], names: HubNames) -> dict[str, str]:
    """The files by their names, one a row, as the Hub wants variants of one task.

    Raises:
        InputError: no benchmark was told, or no row has a number that means something.
    """
    if not names.dataset:
        raise InputError("a file of .eval_results needs the id of the benchmark: --hub-dataset OWNER/NAME.")
    fit = [outcome for outcome in outcomes if is_a_result(outcome)]
    if not fit:
        raise InputError(
            "no row has a number for a leaderboard: attack with --ladder, and mend what is unreliable."
        )
    stem = names.dataset.rpartition("/")[2]
    return {
        f"{FOLDER}/{_safe(stem)}-{place:02d}.yaml": yaml_text([_entry(outcome, names)])
        for place, outcome in enumerate(fit, start=1)
    }


def is_a_result(outcome: Outcome) -> bool:
    """Whether a row's number may stand where only the number is read."""
    return "worst" in outcome.row.rates and outcome.state not in ("unsound", "unmeasured")


def _entry(outcome: Outcome, names: HubNames) -> dict[str, Any]:
    row, worst = outcome.row, outcome.row.rates["worst"]
    entry: dict[str, Any] = {
        "dataset": {"id": names.dataset, "task_id": names.task},
        "value": round(100 * worst.accuracy, 2),
    }
    day = finished_day(outcome)
    if day:
        entry["date"] = day
    if names.source:
        entry["source"] = {"url": names.source, "name": "advbench run"}
    entry["notes"] = (
        f"per cent of images that stand on every rung ({worst.count}/{worst.n}); {row.norm} {row.eps}; "
        f"{row.attack}; defense {row.defense}; {outcome.kind}"
    )
    return entry


def finished_day(outcome: Outcome) -> str:
    """The day on which the run ended; empty where it does not say."""
    time = "" if outcome.run is None else outcome.run.records.manifest.values.get("finished")
    return time[:10] if isinstance(time, str) else ""


def model_card(outcomes: Sequence[Outcome], names: HubNames) -> str:
    """A card's metadata, and a section with the table, the verdicts and how to do it again.

    The metadata has what is right when clean and what stands on every rung, and no other rung's number:
    whoever read that alone would take a hidden gradient for robustness.
    """
    results = [_result(outcome, names) for outcome in outcomes if "clean" in outcome.row.rates]
    rows = [outcome.row for outcome in outcomes]
    model = names.model or (rows[0].model if rows else "model")
    commands = dict.fromkeys(outcome.command for outcome in outcomes if outcome.command)
    parts = [
        f"---\n{yaml_text({'model-index': [{'name': model, 'results': results}]})}---",
        "## Adversarial robustness",
        "Measured with advbench, which attacks the same images with and without the defense's own gradient.",
        markdown(rows).strip(),
        "### Repeat it",
        *(f"    {_one_line(command)}" for command in commands),
    ]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    """Text that neither ends its line nor opens a tag."""
    return printable(" ".join(text.split())).replace("<", "&lt;").replace(">", "&gt;")


def _result(outcome: Outcome, names: HubNames) -> dict[str, Any]:
    row = outcome.row
    metrics = [_metric("Accuracy", row.rates["clean"])]
    if is_a_result(outcome):
        metrics.append(_metric(f"Accuracy under attack ({row.norm} {row.eps})", row.rates["worst"]))
    dataset = {
        "type": names.dataset or row.dataset,
        "name": f"{row.dataset}, defense {row.defense}, {row.attack}",
    }
    return {"task": {"type": TASK}, "dataset": dataset, "metrics": metrics}


def _metric(name: str, rate: Rate) -> dict[str, Any]:
    return {"type": "accuracy", "name": name, "value": round(100 * rate.accuracy, 2)}


def _safe(name: str) -> str:
    return (
        "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name).strip(".")
        or "results"
    )
