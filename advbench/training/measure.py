"""What a trained model is measured by: clean images, noise in its statistics, corruptions, an attack."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, Images
from advbench.draws.draws import Draws
from advbench.evaluation.ladder import evaluate
from advbench.results.trained import Measure, Measured
from advbench.threat.attack import Attack
from advbench.threat.threat import Threat
from advbench.training.accuracy import correct
from advbench.training.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from advbench.training.noisy_statistics import noisy_statistics

NOISE: Final = (0.05, 0.1, 0.2, 0.3)
"""Relative sizes of the noise in running statistics."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """What is measured, on which images.

    Args:
        images: the data set.
        indices: its images that are used.
        threat: of the attack.
        attacks: by their names in the table.
        noise: relative sizes of the noise in running statistics; each is drawn `draws` times.
        draws: how often.
        corruptions: their names.
        seed: of noise, corruptions and attacks.
    """

    images: Images
    indices: Sequence[int]
    threat: Threat
    attacks: Mapping[str, Attack]
    noise: Sequence[float] = NOISE
    draws: int = 5
    corruptions: Sequence[str] = field(default_factory=lambda: tuple(CORRUPTIONS))
    seed: int = 0


@dataclass(frozen=True)
class Climbed:
    """What one model came to.

    Args:
        rows: the accuracies.
        right: which clean images it classifies correctly, `(n,)` bool, for comparison in pairs.
    """

    rows: tuple[Measured, ...]
    right: Tensor


def climb(
    model: nn.Module,
    name: str,
    ladder: Ladder,
    device: torch.device,
    notify: Callable[[Measured], None] = lambda _: None,
) -> Climbed:
    """Measure one model; it is left as it was found.

    Args:
        model: pixels in [0, 1] to logits.
        name: what the table calls it.
        ladder: what is measured.
        device: where the model is.
        notify: is given each accuracy as it is found.

    Raises:
        ModelError: a model without running statistics, or one that breaks its contract.
        DatasetError: images that cannot be used.
    """
    right = correct(model, ladder.images, ladder.indices, device)
    rows = []
    for row in chain(
        [_measured(name, "clean", "", [right])],
        _noisy(model, name, ladder, device),
        _corrupted(model, name, ladder, device),
        _attacked(model, name, ladder),
    ):
        rows.append(row)
        notify(row)
    return Climbed(tuple(rows), right)


def measurements(ladder: Ladder) -> int:
    """How many accuracies a model is measured by."""
    return 1 + len(ladder.noise) + SEVERITIES * len(ladder.corruptions) + len(ladder.attacks)


def _noisy(model: nn.Module, name: str, ladder: Ladder, device: torch.device) -> Iterator[Measured]:
    for size in ladder.noise:
        generator = torch.Generator().manual_seed(ladder.seed)
        masks = []
        for _ in range(ladder.draws):
            with noisy_statistics(model, size, generator):
                masks.append(correct(model, ladder.images, ladder.indices, device))
        yield _measured(name, "statistics", f"{size:g}", masks)


def _corrupted(model: nn.Module, name: str, ladder: Ladder, device: torch.device) -> Iterator[Measured]:
    for corruption in ladder.corruptions:
        for severity in range(1, SEVERITIES + 1):

            def spoil(batch: Batch, corruption: str = corruption, severity: int = severity) -> Tensor:
                return corrupted(batch.x, corruption, severity, Draws(ladder.seed, batch.indices))

            right = correct(model, ladder.images, ladder.indices, device, spoil)
            yield _measured(name, "corruption", f"{corruption}/{severity}", [right])


def _attacked(model: nn.Module, name: str, ladder: Ladder) -> Iterator[Measured]:
    if not ladder.attacks:
        return
    evaluation = evaluate(
        model,
        ladder.images,
        threat=ladder.threat,
        attacks=ladder.attacks,
        indices=ladder.indices,
        seed=ladder.seed,
        rungs=(),
    )
    for row in evaluation.rows:
        rate = row.rates["shattered"]
        setting = f"{row.attack} {row.norm} {row.eps}"
        yield Measured(model=name, measure="attack", setting=setting, n=rate.n, passes=1, count=rate.count)


def _measured(name: str, measure: Measure, setting: str, masks: Sequence[Tensor]) -> Measured:
    count = sum(int(mask.sum()) for mask in masks)
    return Measured(
        model=name, measure=measure, setting=setting, n=len(masks[0]), passes=len(masks), count=count
    )
