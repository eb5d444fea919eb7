"""A network's answers to a sample of clean images under each usual normalisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, read_batch
from advbench.data.images import LabelledImages
from advbench.data.sampling import balanced_order
from advbench.defended.contract import checked_logits
from advbench.defended.left_as_found import prepared
from advbench.defended.normalized import Normalized
from advbench.errors import ModelError, ran_out_of_memory
from advbench.models.normalization import (
    Answers,
    NormalizationName,
    Standing,
    candidates,
    same_function,
    standing_of,
)
from advbench.models.registry import Normalization
from advbench.speed.memory import release_memory

SAMPLES: Final = (*range(16, 129, 16), 256, 512, 1024)
"""Images of the sample: the next larger one is looked at while several candidates are near."""

_AT_ONCE: Final = {"cpu": 16}
_MOST_AT_ONCE: Final = 64
"""A processor's caches hold what a small batch makes; other devices are quick with large ones only."""

_TO_DESPAIR: Final = 256
"""Images after which a network that only guesses is given up."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a network's clean accuracy says of its normalisation.

    Args:
        constants: the candidates.
        answers: what it said under each; some have seen only the first images.
        labels: of the images.
        standing: which are left.
        alike: candidates that give the same function as another one, and that one.
    """

    constants: dict[NormalizationName, Normalization]
    answers: dict[NormalizationName, Answers]
    labels: list[int]
    standing: Standing
    alike: dict[NormalizationName, NormalizationName]

    @property
    def accuracies(self) -> dict[str, float]:
        """Clean accuracy under each candidate, as a fraction of the images that it has seen."""
        return {name: float(answer.right(self.labels).mean()) for name, answer in self.answers.items()}


@torch.no_grad()
def measure(
    network: nn.Module,
    images: LabelledImages,
    dataset: Normalization,
    device: torch.device,
    seed: int,
    *,
    at_once: int | None = None,
    takes: int = 1,
) -> Measured:
    """Try each candidate on a balanced sample of the data set, as far as is needed to tell them apart.

    The sample is of the whole data set: what a network was trained with does not depend on how many images
    are attacked, and the first of a sorted folder are of one class.

    Args:
        network: without any normalisation before it.
        images: the data set.
        dataset: its usual constants.
        device: where the network is.
        seed: of the sample.
        at_once: images a pass, by default what suits the device; one at a time where memory does not suffice.
        takes: the samples are multiples of it, for a network that takes so many images at a time and no other
            number.

    Raises:
        ModelError: a network that cannot take the images under any candidate.
        DatasetError: images that cannot be used.
    """
    sizes = [-(-size // takes) * takes for size in SAMPLES]
    wanted = at_once or max(takes, _AT_ONCE.get(device.type, _MOST_AT_ONCE))
    indices = balanced_order(images.labels, seed)
    samples = [indices[first:end] for first, end in zip((0, *sizes), sizes, strict=False)]
    look = partial(
        _measured, network, images, dataset, device, seed, [sample for sample in samples if sample]
    )
    try:
        return look(wanted)
    except Exception as error:
        if wanted == 1 or not ran_out_of_memory(error):
            raise
    release_memory()  # the error is gone here, and with its frames the tensors that filled the memory
    return look(1)


def _measured(  # noqa: PLR0917  # those of `measure`
    network: nn.Module,
    images: LabelledImages,
    dataset: Normalization,
    device: torch.device,
    seed: int,
    samples: Sequence[Sequence[int]],
    at_once: int,
) -> Measured:
    measurement: Measured | None = None
    with prepared(network), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for news in samples:
            if measurement is not None and _is_told(measurement):
                break
            for start in range(0, len(news), at_once):
                batch = read_batch(images, news[start : start + at_once]).to(device)
                measurement = _shown(network, batch, measurement, dataset)
            assert measurement is not None
            measurement = _judged(measurement)
    assert measurement is not None
    return measurement


def _is_told(measurement: Measured) -> bool:
    if measurement.standing.at_chance:
        return len(measurement.labels) >= _TO_DESPAIR
    return len(measurement.standing.near) == 1


def _shown(
    network: nn.Module, batch: Batch, measurement: Measured | None, dataset: Normalization
) -> Measured:
    """The network's answers with those to a batch; candidates that are one function are put together."""
    if measurement is None:
        return _first_shown(network, batch, candidates(dataset, batch.x.shape[1]))
    left = [name for name in measurement.standing.near if name in measurement.answers]
    for name in left:
        logits = _logits(network, measurement.constants[name], batch)
        measurement.answers[name].add(logits, batch.y)
    measurement.labels.extend(batch.y.tolist())
    return measurement


def _first_shown(
    network: nn.Module, batch: Batch, constants: dict[NormalizationName, Normalization]
) -> Measured:
    logits: dict[NormalizationName, Tensor] = {}
    alike: dict[NormalizationName, NormalizationName] = {}
    failures: list[ModelError] = []
    for name, constant in constants.items():
        try:
            new = _logits(network, constant, batch)
        except ModelError as error:  # not finite under this one, for example
            failures.append(error)
            continue
        twin = next((other for other, known in logits.items() if same_function(known, new)), None)
        if twin is None:
            logits[name] = new
        else:
            alike[name] = twin
    if not logits:
        raise failures[0]
    answers = {name: Answers() for name in logits}
    for name, tally in answers.items():
        tally.add(logits[name], batch.y)
    names = tuple(answers)
    return Measured(
        constants=constants,
        answers=answers,
        labels=batch.y.tolist(),
        standing=Standing(names[0], names, at_chance=False),
        alike=alike,
    )


def _judged(measurement: Measured) -> Measured:
    left = {
        name: measurement.answers[name] for name in measurement.answers if name in measurement.standing.near
    }
    standing = standing_of(left, measurement.labels)
    if standing.at_chance:  # differences between guesses say nothing
        standing = standing._replace(near=tuple(left))
    return Measured(
        constants=measurement.constants,
        answers=measurement.answers,
        labels=measurement.labels,
        standing=standing,
        alike=measurement.alike,
    )


def _logits(network: nn.Module, constants: Normalization, batch: Batch) -> Tensor:
    model = Normalized(network, constants.mean, constants.std)
    model.mean, model.std = model.mean.to(batch.x.device), model.std.to(batch.x.device)
    return checked_logits(model, batch.x, batch.y)
