"""Whether kept examples do on every rung what the records say, judged again."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from advbench.defended.output_kinds import reading_of
from advbench.errors import RunFolderError
from advbench.evaluation.judge_again import (
    LOSS_ELSEWHERE,
    LOSS_HERE,
    Evidence,
    Finding,
    recheck,
)
from advbench.evaluation.plan import Links
from advbench.jobs.build_subject import Subject
from advbench.jobs.check import Check
from advbench.jobs.settings.verify import VerifySettings
from advbench.jobs.untrusted_run import Claims
from advbench.results.table import Heading
from advbench.runs.examples import Examples, read_examples
from advbench.runs.folder import ADVERSARIAL, is_as_written
from advbench.runs.provenance import is_here


def check_rungs(
    claims: Claims,
    settings: VerifySettings,
    subject: Subject,
    heading: Heading,
    *,
    chains: Mapping[str, Links],
    samples: pd.DataFrame,
) -> Iterator[Check]:
    """Judge the kept examples of every rung again.

    Args:
        claims: what the run says of itself.
        settings: the run's folder, and whether examples are rounded to 8 bits.
        subject: the model with its images.
        heading: what the table is about.
        chains: the defenses in their places by name.
        samples: the records of the whole run.
    """
    damaged: list[str] = []
    evidence = Evidence(
        model=subject.classifier.model,
        dataset=subject.images,
        chains=chains,
        threat=subject.threat,
        heading=heading,
        samples=samples,
        kept=claims.kept,
        batch_size=claims.batch_size,
        seed=claims.subject.seed,
        judge_draws=claims.judge,
        order=subject.indices,
        loss_room=_loss_room(claims, subject),
    )
    findings = recheck(evidence, _examples(settings.run, damaged), as_8bit=settings.as_8bit)
    holds = not damaged
    sentence = (
        f"{', '.join(damaged[:3])} not as the run wrote it" if damaged else "every file as the run wrote it"
    )
    yield Check(f"{ADVERSARIAL}/", holds, sentence)
    for finding in findings:
        yield Check(" · ".join(filter(None, finding.cell)), not finding.faults, _say(finding))


def _loss_room(claims: Claims, subject: Subject) -> float:
    """How far losses may be off; boundless where an earlier version took probabilities for logits."""
    if claims.read_as != reading_of(subject.classifier.model):
        return math.inf
    return LOSS_HERE if is_here(claims.manifest.values, subject.device) else LOSS_ELSEWHERE


def _examples(run: Path, damaged: list[str]) -> Iterator[Examples]:
    for path in sorted((run / ADVERSARIAL).glob("*.safetensors")):
        if not is_as_written(path):
            damaged.append(path.name)
        try:
            yield read_examples(path)
        except RunFolderError:
            damaged.append(path.name)


def _say(finding: Finding) -> str:
    if finding.faults:
        return "; ".join(
            f"{fault} ({len(set(indices))} of {finding.images}: image {_few(indices)})"
            for fault, indices in finding.faults.items()
        )
    ties = f", {finding.by_rounding} of them up to rounding" if finding.by_rounding else ""
    refused = f", {finding.refused} refused" if finding.refused else ""
    if finding.cell.rung == "clean":
        return f"{finding.examples} images predicted as recorded{ties}{refused}"
    as_8bit = "" if finding.as_8bit is None else f" ({finding.as_8bit} as 8-bit images)"
    return (
        f"{finding.examples} examples in ball and box, predicted as recorded{ties}; "
        f"{finding.fooling} fool{as_8bit}{refused}"
    )


def _few(indices: list[int]) -> str:
    distinct = sorted(set(indices))
    return ", ".join(map(str, distinct[:3])) + (", ..." if len(distinct) > 3 else "")
