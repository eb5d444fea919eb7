"""Where each detector refuses: fixed on clean images before anything is attacked, alike in every process.

The images are others than the attacked ones where the data set has enough of them, chosen by the seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, Images
from advbench.defended.counting import CountedModel
from advbench.defended.detector import Detector, Settled
from advbench.defended.left_as_found import prepared
from advbench.defended.model import DefendedModel, Placement
from advbench.draws.draws import Draws
from advbench.draws.sampling import Sampling
from advbench.errors import DefenseError
from advbench.results.detecting import USUAL_FPR, Detecting
from advbench.speed.batch_size import BatchSize, in_batches

LOOKED_AT: Final = 1000
"""Clean images that a threshold is fixed on, at most."""

ENOUGH: Final = 50
"""So many images beside the attacked ones are enough for a threshold; twice `1 / fpr` where that is more."""

_FEW: Final = 8  # images whose scores are looked at alone, and again
_APART: Final = 0.02  # of the spread of the scores: how far rounding may move one

Links = tuple[Placement, ...]


@dataclass(frozen=True, kw_only=True)
class Looks:
    """On what detectors are settled.

    Args:
        model: pixels to logits.
        dataset: where the images are.
        images: all images of the run.
        seed: of the run.
        size: how many images at a time.
    """

    model: nn.Module
    dataset: Images
    images: Sequence[int]
    seed: int
    size: BatchSize

    def clean(self, fpr: float) -> tuple[list[int], bool]:
        """The images that a threshold is fixed on, and whether they are the run's own."""
        own = set(self.images)
        others = [index for index in range(len(self.dataset)) if index not in own]
        enough = len(others) >= max(ENOUGH, math.ceil(2.0 / fpr) if fpr > 0.0 else 0)
        return self._sample(others if enough else sorted(own)), not enough

    def _sample(self, indices: Sequence[int]) -> list[int]:
        tensor = torch.tensor(indices, dtype=torch.int64)
        words = Draws(self.seed, tensor).stream("detectors").words(1).flatten()
        return sorted(tensor[words.argsort(stable=True)[:LOOKED_AT]].tolist())


class Settlement(NamedTuple):
    """The detectors of several defenses, settled."""

    chains: dict[str, Links]
    detecting: dict[str, tuple[Detecting, ...]]
    """Of the defenses that have detectors, what the table says of them."""
    doubts: dict[str, tuple[str, ...]]
    """Why a score is no function of the image alone."""


def settled(looks: Looks, chains: Mapping[str, Links]) -> Settlement:
    """Settle every detector.

    Args:
        looks: on what.
        chains: the defenses in their places by name.

    Raises:
        DefenseError: a detector that gives no score an image, or refuses more than half of the clean ones.
        SpecError: one that cannot be made for this classifier.
    """
    settlement = Settlement(dict(chains), {}, {})
    for defense, chain in chains.items():
        if not any(link.detector is not None for link in chain):
            continue
        own = bound(looks.model, {defense: chain})[defense]
        settlement.chains[defense], settlement.detecting[defense], doubts = _settled(looks, own)
        if doubts:
            settlement.doubts[defense] = doubts
    return settlement


def bound(model: nn.Module, chains: Mapping[str, Links]) -> dict[str, Links]:
    """The defenses with the detectors of this classifier; it is in evaluation mode while these are made.

    Raises:
        SpecError: a detector that cannot be made.
    """
    wanting = [
        link for chain in chains.values() for link in chain if link.detector and link.detector.of_model
    ]
    if not wanting or not isinstance(model, nn.Module):  # the plan says what is wrong with a model
        return dict(chains)
    network = model.model if isinstance(model, CountedModel) else model
    with prepared(network):
        return {
            defense: tuple(
                link if link.detector is None else replace(link, defense=link.detector.bound(network))
                for link in chain
            )
            for defense, chain in chains.items()
        }


def _settled(looks: Looks, chain: Links) -> tuple[Links, tuple[Detecting, ...], tuple[str, ...]]:
    detectors = [link.detector for link in chain if link.detector is not None]
    fprs = [USUAL_FPR if detector.fpr is None else detector.fpr for detector in detectors]
    indices, attacked = looks.clean(min(fprs))
    sampling = Sampling(looks.seed, "detectors")

    def work(batch: Batch) -> tuple[Tensor, tuple[str, ...]]:
        model = DefendedModel(
            looks.model, chain, sampling=sampling, lanes=looks.size.lanes, at_once=looks.size.images
        ).with_scores()
        x = batch.x.to(_device(looks.model))
        with torch.no_grad():
            outputs = model(x)
            return outputs.cpu(), _doubts(model, x, outputs, detectors) if int(batch.indices[0]) == indices[
                0
            ] else ()

    parts = list(in_batches(looks.dataset, indices, looks.size, work))
    outputs = torch.cat([part for part, _ in parts])
    k = outputs.shape[1] - len(detectors)
    weight = _median_margin(outputs[:, :k])
    made, facts = list(chain), []
    places = [place for place, link in enumerate(chain) if link.detector is not None]
    for place, detector, scores in zip(places, detectors, outputs[:, k:].unbind(1), strict=True):
        where, fpr = _threshold(detector, scores)
        spread = where - float(scores.median())
        refused = int((scores > where).sum())
        _check_share(detector, where, refused, len(scores))
        usable = spread if math.isfinite(spread) and spread > 0.0 else float(scores.std()) or 1.0
        own = replace(detector, settled=Settled(threshold=where, spread=usable, weight=weight))
        made[place] = replace(chain[place], defense=own)
        facts.append(
            Detecting(
                name=detector.__name__,
                threshold=where,
                fpr=fpr,
                refused=refused,
                n=len(scores),
                attacked=attacked,
            )
        )
    return tuple(made), tuple(facts), parts[0][1]


def _threshold(detector: Detector, scores: Tensor) -> tuple[float, float | None]:
    """Where a detector refuses, and the rate that this was fixed for; None where it is its own threshold.

    The least of the scores beyond which lie at most `fpr` of them.

    Raises:
        DefenseError: scores that are not finite.
    """
    wrong = int((~scores.isfinite()).sum())
    if wrong:
        raise DefenseError(
            f"detector {detector.__name__} must give finite scores, got NaN or infinity for {wrong} of "
            f"{len(scores)} clean images."
        )
    own = detector.own_threshold
    if own is not None and detector.fpr is None:
        return own, None
    fpr = USUAL_FPR if detector.fpr is None else detector.fpr
    beyond = math.floor(fpr * len(scores) + 1e-9)  # 0.07 * 100 is a little more than 7
    return float(scores.sort(descending=True).values[min(beyond, len(scores) - 1)]), fpr


def _check_share(detector: Detector, threshold: float, refused: int, n: int) -> None:
    """Refuse a detector that clean images do not pass.

    Raises:
        DefenseError: it refuses more than half of them.
    """
    if refused > n / 2:
        raise DefenseError(
            f"detector {detector.__name__} refuses {refused} of {n} clean images at its threshold "
            f"{threshold:g}, more than half: larger scores must mean more suspicious. Fix it with --fpr."
        )


def _median_margin(logits: Tensor) -> float:
    """How far the largest logit of clean images lies above the second, the median; 1 where it does not."""
    largest = logits[logits.isfinite().all(1)].topk(2, dim=1).values
    margin = float((largest[:, 0] - largest[:, 1]).median()) if len(largest) else 0.0
    return margin if margin > 0.0 else 1.0


def _doubts(
    model: DefendedModel, x: Tensor, outputs: Tensor, detectors: Sequence[Detector]
) -> tuple[str, ...]:
    """Whether a few scores are the same again, and in another batch."""
    k = outputs.shape[1] - len(detectors)
    few, known = x[:_FEW], outputs[:_FEW, k:]
    again = [model(x)[:_FEW, k:] for _ in range(2)]
    alone = torch.cat([model(image[None])[:, k:] for image in few])
    doubts = []
    for place, detector in enumerate(detectors):
        scores = outputs[:, k + place]
        spread = _APART * float(scores.max() - scores.min())
        if any(_apart(scores_again[:, place], known[:, place]) > spread for scores_again in again):
            doubts.append(f"detector {detector.__name__} gives the same images other scores each time")
        elif _apart(alone[:, place], known[:, place]) > spread:
            doubts.append(f"an image's score of detector {detector.__name__} depends on its batch")
    return tuple(doubts)


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
