"""From the words of `advbench finetune` to the objects that the library works with."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from advbench.attacks import PGD
from advbench.data.batches import Images, read_batch
from advbench.data.images import LabelledImages
from advbench.data.load import find_dataset, load_dataset
from advbench.data.sampling import balanced_sample
from advbench.defended.contract import checked_logits
from advbench.defended.left_as_found import prepared
from advbench.defended.own_precision import own_precision
from advbench.errors import InputError, ModelError
from advbench.jobs.build_subject import (
    choose_device,
    make_threat,
    names_of,
    open_images,
    place_of,
)
from advbench.jobs.channels import channels_of, fitted
from advbench.jobs.classifier import Classifier, load_classifier
from advbench.jobs.describe import class_settings, selection_hash
from advbench.jobs.order_check import check_order_before_training
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.train import TrainSettings
from advbench.models.libraries import names_library
from advbench.names.grammar import parse_spec
from advbench.runs.provenance import commits, machine, versions
from advbench.training.batch_norm import BatchNorm
from advbench.training.feed import TrainingImages
from advbench.training.measure import Ladder
from advbench.training.recipe import Augment, Recipe, check_shares

_HELD_OUT = 5000


class TrainingJob(NamedTuple):
    """Everything that one `advbench finetune` works with."""

    classifier: Classifier
    dataset: str
    data: TrainingImages
    labels_hash: str
    ladder: Ladder
    ways: dict[str, Recipe]
    device: torch.device
    notes: tuple[str, ...] = ()
    """How the model was understood, where that had to be found out."""


def assemble_training(options: TrainSettings, ranks: Ranks) -> TrainingJob:
    """Find, load and check everything that the words name, the cheapest first.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    model, dataset = names_of(options.subject)
    if model is not None and names_library(parse_spec(model).name):
        raise ModelError(
            f"{model} prepares its pictures itself, and is not trained here: make the network in a "
            "file.py:factory, and give its normalisation."
        )
    entry = find_dataset(dataset)
    threat = make_threat(options.subject, entry)
    device = choose_device(options.subject.device, ranks)
    images, indices = open_images(options.subject, dataset)
    training, data, labels_hash = _training_images(options, dataset)
    usual: Augment = "crop-flip" if entry.mirrored else "crop"
    recipe = dataclasses.replace(options.recipe, augment=options.augment or usual)
    ways = {"plain": recipe} if options.plain else {}
    if options.perturbation is not None:
        ways["apart"] = dataclasses.replace(recipe, apart=options.perturbation)
    for way in ways.values():
        check_shares(way, ranks.count, len(data.indices))
    classifier, images = load_classifier(
        options.subject, model, entry, images, device, indices=indices, ranks=ranks
    )
    data = dataclasses.replace(data, images=fitted(training, data.indices, classifier.model))
    _check_model(classifier.model, images, indices, ways, device)
    notes = classifier.all_notes
    if not options.subject.untrained:
        seed = options.subject.seed
        notes += tuple(
            filter(None, (check_order_before_training(classifier.in_own_batches, images, device, seed),))
        )
    ladder = Ladder(
        images=images,
        indices=indices,
        threat=threat,
        attacks={"pgd": PGD()},
        seed=options.subject.seed,
    )
    return TrainingJob(classifier, dataset, data, labels_hash, ladder, ways, device, notes)


def training_manifest(options: TrainSettings, job: TrainingJob, ranks: Ranks) -> dict[str, Any]:
    """Everything that the result depends on, for `run.json`."""
    given, classifier, ladder = options.subject, job.classifier, job.ladder
    return {
        "command": list(options.command),
        **({} if options.settings_file is None else {"settings_file": dict(options.settings_file)}),
        "settings": {
            "command": "finetune",
            "model": classifier.name,
            "weights": given.weights,
            "mean": classifier.normalization.mean,
            "std": classifier.normalization.std,
            "untrained": given.untrained,
            "dataset": job.dataset,
            "train_split": options.train_split,
            "split": given.split,
            "image_size": given.image_size,
            "channels": channels_of(ladder.images),
            **given.columns,
            "class_names": class_settings(ladder.images),
            "train_indices": selection_hash(job.data.indices),
            "train_labels": job.labels_hash,
            "held_out": selection_hash(job.data.held_out),
            "indices": selection_hash(ladder.indices),
            "norm": ladder.threat.norm,
            "eps": ladder.threat.text,
            "seed": given.seed,
            "processes": ranks.count,
            "ways": {name: dataclasses.asdict(recipe) for name, recipe in job.ways.items()},
        },
        "execution": {"data_root": str(given.data_root), "workers": options.workers},
        "checkpoint": classifier.provenance,
        "normalization": classifier.chosen.account,
        "notes": list(job.notes),
        "data": {"n": len(ladder.indices), "n_train": len(job.data.indices)},
        "versions": versions(),
        "commits": commits(),
        "machine": {**machine(job.device), "precision": options.recipe.precision},
    }


def training_announcement(job: TrainingJob, ranks: Ranks) -> str:
    """What is run, in a line."""
    recipe = next(iter(job.ways.values()))
    shared = [f"{ranks.count} processes"] if ranks.count > 1 else []
    return ", ".join(
        [
            f"{job.classifier.name} ({job.classifier.provenance['source']})",
            f"{len(job.data.indices)} training images of {job.dataset}",
            f"{len(job.data.held_out)} held out",
            f"{recipe.epochs} epochs",
            f"batches of {recipe.batch_size}",
            f"lr {recipe.lr:g} ({recipe.schedule})",
            recipe.augment,
            str(job.device),
            *shared,
        ]
    )


def _training_images(options: TrainSettings, dataset: str) -> tuple[LabelledImages, TrainingImages, str]:
    """The data set, its training images, some of which are held out, and a hash of their labels."""
    given = options.subject
    place = dataclasses.replace(place_of(given), split=options.train_split)
    images = load_dataset(dataset, place)
    count = len(images) if options.train_limit is None else options.train_limit
    chosen = balanced_sample(images.labels, count, given.seed)
    kept = min(len(chosen) // 10, _HELD_OUT) if options.held_out is None else options.held_out
    held = {chosen[place] for place in balanced_sample(images.labels[chosen], kept, given.seed)}
    indices = [place for place in chosen if place not in held]
    if len(indices) < 2:
        raise InputError(f"--held-out {kept} leaves {len(indices)} of {len(chosen)} images to train on.")
    digest = hashlib.sha256(images.labels[chosen].tobytes()).hexdigest()[:16]
    data = TrainingImages(images=images, indices=indices, held_out=sorted(held), workers=options.workers)
    return images, data, digest


def _check_model(
    model: nn.Module, images: Images, indices: Sequence[int], ways: Mapping[str, Recipe], device: torch.device
) -> None:
    """Refuse a model that cannot be trained, or cannot take these images, before anything is written."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("the model has no parameters to train; programs (TorchScript, .pt2) are fixed.")
    precision = own_precision(model)
    if "16" in precision:
        raise ModelError(
            f"the model is in {precision}, in which small updates of weights are lost: train it in float32 "
            "(model.float()); --precision computes in 16 bits beside that."
        )
    if "apart" in ways and not any(isinstance(module, BatchNorm) for module in model.modules()):
        raise ModelError("--apart perturbs BatchNorm, and the model has no such layer.")
    with prepared(model):
        _, x, y = read_batch(images, indices[:8]).to(device)
        checked_logits(model, x, y)
