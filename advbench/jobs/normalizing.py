"""Which normalisation stands before a network: what was given, what its weights say, or what is measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import safetensors
import torch
from torch import nn

from advbench.data.batches import read_batch
from advbench.data.images import LabelledImages
from advbench.data.registry import DatasetEntry
from advbench.errors import InputError, ModelError, printable
from advbench.evaluation.measure_normalization import Measured, measure
from advbench.jobs.order_check import ClassOrderError, described
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.subject import SubjectOptions
from advbench.models.normalization import candidates, named
from advbench.models.own_normalization import normalizes_itself
from advbench.models.published import of_built_in, of_torchvision
from advbench.models.registry import PIXELS, ModelEntry, Normalization
from advbench.names.grammar import parse_number
from advbench.regular_files import check_regular
from advbench.results.class_order import other_order
from advbench.speed.batch_size import filled_up

_POST: Final = "normalization"
_MEAN, _STD = "normalization_mean", "normalization_std"


class Chosen(NamedTuple):
    """The normalisation before a network, and where it comes from."""

    normalization: Normalization
    by: str
    """In a few words, for `run.json`."""
    note: str = ""
    """What the table says of it; empty where there is no doubt."""
    accuracies: Mapping[str, float] | None = None
    """Clean accuracy under each candidate, where it was measured."""
    images: int | None = None
    """How many images the best was measured on."""

    @property
    def account(self) -> dict[str, Any]:
        """The choice, for `run.json`."""
        entries = {"by": self.by, "accuracies": self.accuracies, "images": self.images}
        return {name: value for name, value in entries.items() if value is not None}


class Weights(NamedTuple):
    """A network with its weights, and what is known of where these come from."""

    network: nn.Module
    name: str
    entry: ModelEntry | None
    path: Path | None
    sha256: str | None
    bundled: bool
    untrained: bool
    takes: int = 0
    """How many images the network takes at a time where it takes no other number; else 0."""


def given_normalization(options: SubjectOptions, dataset: DatasetEntry) -> Chosen | None:
    """What the options say; None where they say nothing.

    Raises:
        InputError: one of the two constants without the other, two ways at once, or no numbers.
    """
    if options.normalization is not None:
        if options.mean is not None or options.std is not None:
            raise InputError("give --normalization or --mean and --std, not both.")
        return Chosen(named(options.normalization, dataset.normalization), "--normalization")
    if options.mean is None and options.std is None:
        return None
    if options.mean is None or options.std is None:
        raise InputError("give --mean and --std together.")
    mean, std = (
        tuple(parse_number(number, option) for number in text.split(","))
        for option, text in (("--mean", options.mean), ("--std", options.std))
    )
    return Chosen(Normalization(mean, std), "--mean and --std")


def usual_normalization(entry: ModelEntry | None, dataset: DatasetEntry) -> Normalization:
    """What the model's published weights need, else the data set's usual constants."""
    return (entry.normalization if entry else None) or dataset.normalization


def told_normalization(weights: Weights, dataset: DatasetEntry) -> Chosen | None:
    """What the weights themselves say, without looking at an image; None where they do not.

    Args:
        weights: the network.
        dataset: the data set's entry.
    """
    if weights.untrained:
        return Chosen(usual_normalization(weights.entry, dataset), "usual: the weights are untrained")
    entry = weights.entry
    if entry is not None and entry.normalization is not None and weights.bundled:
        return Chosen(entry.normalization, "the model's own weights")
    noted = noted_normalization(weights.path) if weights.path else None
    if noted is not None:
        return Chosen(noted, "the checkpoint's notes")
    if entry is None or weights.sha256 is None:
        return None
    published = (
        of_torchvision(weights.name, weights.sha256)
        if entry.factory.startswith("torchvision.")
        else of_built_in(weights.network, weights.sha256)
    )
    return None if published is None else Chosen(published, "published weights")


def notes_of_normalization(normalization: Normalization) -> dict[str, str]:
    """What a checkpoint that we write says of it."""
    return {_MEAN: json.dumps(normalization.mean), _STD: json.dumps(normalization.std)}


def noted_normalization(path: Path) -> Normalization | None:
    """What a checkpoint that `advbench finetune` wrote says; None for every other file."""
    try:
        check_regular(path)
        with safetensors.safe_open(str(path), "pt") as file:
            notes = file.metadata() or {}
        mean, std = (tuple(map(float, json.loads(notes[name]))) for name in (_MEAN, _STD))
    except Exception:  # another format, other notes, or none
        return None
    return Normalization(mean, std)


def choose_normalization(
    weights: Weights,
    images: LabelledImages,
    dataset: DatasetEntry,
    device: torch.device,
    *,
    seed: int,
    ranks: Ranks,
) -> Chosen:
    """What the weights say, else what is measured; the leading process measures for all.

    Raises:
        InputError: several candidates are near, or another order of the classes explains the answers better.
        ModelError: a network that cannot take the images.
    """
    choice_of_weights = told_normalization(weights, dataset)
    if choice_of_weights is not None:
        return choice_of_weights
    if ranks.count == 1:
        return _measured(weights, images, dataset, device, seed)
    if not ranks.leads:
        message = json.loads(ranks.await_post(_POST, lambda: None))
        if "error" in message:
            raise InputError(message["error"])
        return Chosen(
            Normalization(tuple(message["mean"]), tuple(message["std"])), message["by"], message["note"]
        )
    try:
        chosen = _measured(weights, images, dataset, device, seed)
    except InputError as error:
        ranks.post(_POST, json.dumps({"error": str(error)}).encode())
        raise
    mean, std = chosen.normalization.mean, chosen.normalization.std
    told_others = {"mean": mean, "std": std, "by": chosen.by, "note": chosen.note}
    ranks.post(_POST, json.dumps(told_others).encode())
    return chosen


def _measured(
    weights: Weights, images: LabelledImages, dataset: DatasetEntry, device: torch.device, seed: int
) -> Chosen:
    x = read_batch(images, [0]).to(device).x.expand(max(1, weights.takes), -1, -1, -1).contiguous()
    if normalizes_itself(weights.network, x):
        return Chosen(PIXELS, "the network normalises by itself")
    usual = usual_normalization(weights.entry, dataset)
    if len(candidates(dataset.normalization, x.shape[1])) == 1:
        return Chosen(usual, "the only candidate")
    try:
        network = filled_up(weights.network, weights.takes)
        measurement = measure(
            network, images, dataset.normalization, device, seed, takes=max(1, weights.takes)
        )
    except ModelError as error:  # of the run's own images the clean pass will say it
        return Chosen(
            usual,
            "usual: the network cannot take the images",
            f"normalisation {spelt(usual)} is a guess, since none could be measured: "
            f"{printable(str(error)).rstrip('.')}. --normalization says it",
        )
    if measurement.standing.at_chance:
        _refuse_order(measurement, images)
        return Chosen(
            usual,
            "usual: clean accuracy is at chance under every candidate",
            f"clean accuracy is at chance under every normalisation ({accuracies_line(measurement)}), so "
            f"that the one taken, {spelt(usual)}, is a guess; are these the model's weights and data? "
            "--normalization says it",
            measurement.accuracies,
            len(measurement.labels),
        )
    if len(measurement.standing.near) > 1:
        raise InputError(_refusal(weights.name, measurement))
    best = measurement.standing.best
    chosen = measurement.constants[best]
    note = (
        f"normalisation {best} ({spelt(chosen)}) was chosen by clean accuracy: {accuracies_line(measurement)}"
    )
    if len(measurement.answers) == 1:
        note = f"normalisation {best} ({spelt(chosen)}): the network gives the same answers under every other"
    return Chosen(chosen, "clean accuracy", note, measurement.accuracies, len(measurement.labels))


def _refuse_order(measurement: Measured, images: LabelledImages) -> None:
    """See whether the answers under one of the candidates are good in another order of the classes."""
    orders = [
        order
        for answers in measurement.answers.values()
        for labels in [measurement.labels[: len(answers.predictions)]]  # one may have been ruled out early
        if (order := other_order(labels, answers.predictions, images.classes)) is not None
    ]
    if orders:
        best = max(orders, key=lambda order: order.right / order.n)
        raise ClassOrderError(described(best, images), best)


def accuracies_line(measurement: Measured) -> str:
    """The accuracies, the best first."""
    accuracies = measurement.accuracies
    groups: dict[int, list[str]] = {}
    for name, answers in sorted(measurement.answers.items(), key=lambda pair: -accuracies[pair[0]]):
        groups.setdefault(len(answers.predictions), []).append(f"{name} {accuracies[name]:.1%}")
    whole, *smaller = sorted(groups, reverse=True)
    rest = [f"; of the first {count}: {', '.join(groups[count])}" for count in smaller]
    return f"{', '.join(groups[whole])} of {whole} images{''.join(rest)}"


def spelt(normalization: Normalization) -> str:
    """The constants as options write them."""
    mean, std = (
        ",".join(f"{number:.5g}" for number in part) for part in (normalization.mean, normalization.std)
    )
    return f"--mean {mean} --std {std}"


def _refusal(name: str, measurement: Measured) -> str:
    near = measurement.standing.near
    ways = ", or ".join(f"--normalization {name} ({spelt(measurement.constants[name])})" for name in near)
    return (
        f"which normalisation model {name!r} was trained with cannot be told: clean accuracy is "
        f"{accuracies_line(measurement)}. {' and '.join(near)} are too near, and a wrong one can "
        f"cost all robust accuracy. Give the right one: {ways}."
    )
