"""A run in words: for `run.json`, and for the user."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from advbench.data.batches import Images
from advbench.data.images import LabelledImages
from advbench.defended.output_kinds import reading_of
from advbench.draws.calls import ATTACK_DRAWS
from advbench.files import sha256
from advbench.jobs.black_box import black_box_settings
from advbench.jobs.build_attacks import Job
from advbench.jobs.build_surrogate import settings_of
from advbench.jobs.channels import channels_of
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import PrecisionName, RunSettings
from advbench.models.registry import PIXELS
from advbench.results.judging import MAJORITY
from advbench.runs.provenance import commits, machine, versions

_PRECISION: Final[dict[PrecisionName, str]] = {
    "fp32": "float32",
    "bf16": "bfloat16, judged in float32",
    "auto": "bfloat16 where it pays, judged in float32",
}


def manifest_of(options: RunSettings, job: Job, ranks: Ranks) -> dict[str, Any]:
    """Everything that the result depends on, for `run.json`, as far as it is known before the start."""
    given, subject = options.subject, job.subject
    return {
        "command": list(options.command),
        **({} if options.settings_file is None else {"settings_file": dict(options.settings_file)}),
        "settings": {
            "model": subject.classifier.name,
            "weights": given.weights,
            "mean": subject.classifier.normalization.mean,
            "std": subject.classifier.normalization.std,
            "dataset": subject.dataset,
            "split": given.split,
            "image_size": given.image_size,
            "channels": channels_of(subject.images),
            **given.columns,
            "class_names": class_settings(subject.images),
            "limit": given.limit,
            "first": given.first,
            "norm": subject.threat.norm,
            "eps": subject.threat.text,
            "eps_value": subject.threat.eps,
            "attacks": job.attacks.settings,
            "defenses": subject.defenses.settings,
            "rungs": job.rungs,
            **({"tests": list(job.tests)} if job.tests else {}),
            "gradient_free": job.gradient_free.settings,
            **({"label_only": job.label_only.settings} if job.label_only.objects else {}),
            "substitute": list(options.substitutes) or None,
            "calibration": options.calibration if "bpda" in job.rungs else None,
            "eot": options.eot,
            "judge_draws": options.judge_draws,
            **({"members": [sha256(path) for path in options.members]} if options.members else {}),
            **({"smooth": options.smooth} if options.smooth else {}),
            **black_box_settings(subject.classifier.model),
            **({"read_as": kind} if (kind := reading_of(subject.classifier.model)) else {}),
            **({"random_model": True} if options.random_model else {}),
            **({"attack_draws": ATTACK_DRAWS} if subject.draws else {}),
            **({} if options.judging.rule == MAJORITY else {"judge": options.judging.rule}),
            **settings_of(job.stand_ins),
            "fast": options.fast,
            "precision": options.precision,
            "compile": options.compiled,
            "seed": given.seed,
            "indices": selection_hash(subject.indices),
            "save_adversarial": options.kept_examples,
            **({} if given.fpr is None else {"fpr": given.fpr}),
            **({} if given.reject_class is None else {"reject_class": given.reject_class}),
            **({} if subject.classifier.library is None else subject.classifier.library.settings),
        },
        **({"objects": list(job.nameless)} if job.nameless else {}),
        "execution": {
            "data_root": str(given.data_root),
            "batch_size": options.batch_size,
            "processes": ranks.count,
        },
        "checkpoint": subject.classifier.provenance,
        "normalization": subject.classifier.chosen.account,
        "data": {"n": len(subject.indices)},
        "versions": versions(),
        "commits": commits(),
        "machine": {**machine(subject.device), "precision": _PRECISION[options.precision]},
    }


def class_settings(images: Images) -> dict[str, Any] | None:
    """Which output each class stands for, where that is not the data set's own order."""
    if not isinstance(images, LabelledImages) or images.outputs is None:
        return None
    if list(images.outputs) == list(range(len(images.classes))):
        return None
    return {
        "count": len(images.classes),
        "outputs": {images.classes[output]: output for output in images.outputs},
    }


def selection_hash(indices: Sequence[int]) -> str:
    """Which images were chosen: their random draws depend on their indices, not on their pixels."""
    return hashlib.sha256(np.asarray(indices, dtype=np.int64).tobytes()).hexdigest()[:16]


def announcement(job: Job) -> str:
    """What is run, in a line."""
    subject = job.subject
    classifier = subject.classifier
    mean, std = (
        " ".join(f"{number:g}" for number in part) for part in dataclasses.astuple(classifier.normalization)
    )
    normalization = "no normalisation" if classifier.normalization == PIXELS else f"mean {mean}, std {std}"
    grey = "grey " if channels_of(subject.images) == 1 else ""
    return ", ".join(
        [
            f"{classifier.name} ({classifier.provenance['source']}; {normalization})",
            f"{len(subject.indices)} {grey}images of {subject.dataset}",
            f"{subject.threat.norm} eps {subject.threat.text}",
            *job.attacks.objects,
            str(subject.device),
        ]
    )
