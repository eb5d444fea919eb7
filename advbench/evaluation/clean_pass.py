"""The clean images, judged behind every defense before anything is attacked."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from advbench.data.batches import Batch
from advbench.defended.contract import check_substitutes, checked_logits
from advbench.defended.doubts import doubts_about
from advbench.defended.model import Answers
from advbench.defended.random_model import draws_inside
from advbench.errors import InputError
from advbench.evaluation.attack_batch import samples_of
from advbench.evaluation.declared_clean import declared_clean
from advbench.evaluation.plan import Links, Plan
from advbench.results.records import join_samples
from advbench.results.table import Cell
from advbench.results.verdict import MODEL_WITHOUT_EXPECTATION, WITHOUT_EXPECTATION
from advbench.speed.batch_size import in_batches
from advbench.threat.judge import judge


def fingerprint(digests: Mapping[int, bytes]) -> str:
    """A hash of images and labels, given each one's digest by its index; their order does not matter."""
    return hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).hexdigest()


def image_digests(batch: Batch) -> dict[int, bytes]:
    """A digest of each image with its label, by its index."""
    return {
        int(index): hashlib.blake2b(np.ascontiguousarray(x).tobytes() + y.tobytes(), digest_size=16).digest()
        for index, x, y in zip(batch.indices, batch.x.numpy(), batch.y.numpy(), strict=True)
    }


class Clean(NamedTuple):
    """What the pass over the clean images found."""

    samples: dict[str, pd.DataFrame]
    doubts: dict[str, tuple[str, ...]]
    digests: dict[int, bytes]


def clean_pass(plan: Plan, chosen: Sequence[int], alone: Mapping[str, Links]) -> Clean:
    """Judge the clean images behind every defense, and look for what would spoil the run.

    Args:
        plan: the evaluation.
        chosen: the images.
        alone: the defenses that have a single choice of substitutes, with these in place.
    """
    clean = Clean({}, {}, {})

    def work(batch: Batch) -> tuple[Batch, dict[str, pd.DataFrame]]:
        if not clean.doubts and "bpda" in plan.rungs:
            for defense, chain in alone.items():
                if plan.adaptation(defense) is not None:
                    continue
                model = plan.attacked(defense, bpda=True, chain=chain).with_scores()
                check_substitutes(model, batch.to(plan.device).x)
        return batch, {defense: _judge_clean(plan, defense, batch, clean.doubts) for defense in still}

    still = [defense for defense in plan.chains if plan.adaptation(defense) is None]
    parts: dict[str, list[pd.DataFrame]] = {defense: [] for defense in still}
    for batch, judged in in_batches(plan.dataset, chosen, plan.size, work):
        clean.digests.update(image_digests(batch))
        for defense, samples in judged.items():
            parts[defense].append(samples)
    clean.samples.update({defense: join_samples(records) for defense, records in parts.items()})
    for defense in [name for name in plan.chains if name not in parts]:
        clean.samples[defense], clean.doubts[defense] = declared_clean(plan, defense, chosen, plan.size.note)
    return clean


def _judge_clean(plan: Plan, defense: str, batch: Batch, doubts: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """Judge clean images behind one defense; the first batch is looked at more closely."""
    model, (_, x, y) = plan.judged(defense), batch.to(plan.device)
    with plan.shown.counted_as("judging"):
        logits = checked_logits(model, x, y)
        once = Answers(logits[None], None)
        answers = model.answers(x) if plan.is_random(defense) or plan.refuses(defense) else once
    if defense not in doubts:
        doubts[defense] = doubts_of(plan, defense, x, y, logits)
    # Robust is a clean image that is right and accepted (Tramer 2022); what is refused has no class.
    rule = plan.judge.of_clean
    judged = judge(answers.logits, x, x, y, plan.threat, rule=rule, clean=True, refused=answers.refused)
    return samples_of(Cell(defense, "", "clean"), batch, judged)


def doubts_of(plan: Plan, defense: str, x: Tensor, y: Tensor, logits: Tensor) -> tuple[str, ...]:
    """What keeps a defended model's answers from being a function of each image alone, or unattacked.

    Args:
        plan: the evaluation.
        defense: behind which defense.
        x: clean images, `(n, c, h, w)`.
        y: labels, `(n,)`.
        logits: at `x`, `(n, k)`.
    """
    doubts = tuple(doubts_about(plan.judged(defense), x, y, logits))
    if plan.is_random(defense) and plan.eot == 1 and not plan.judge.is_fixed:
        by_itself = draws_inside(plan.model)
        doubts += (MODEL_WITHOUT_EXPECTATION if by_itself else WITHOUT_EXPECTATION,)
    return doubts


def check_unchanged(clean: Clean, batch: Batch) -> None:
    """Refuse a batch that is not what was judged when clean.

    Raises:
        InputError: the data set gives other images.
    """
    if any(clean.digests[index] != digest for index, digest in image_digests(batch).items()):
        raise InputError("the data set gives other images when read again; switch random transforms off.")
