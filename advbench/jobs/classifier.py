"""A classifier from its words: the network, its weights, where its logits are, and its normalisation."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.data.batches import read_batch
from advbench.data.images import LabelledImages
from advbench.data.registry import DatasetEntry
from advbench.defended.counting import Shown, looks_counted
from advbench.defended.left_as_found import prepared
from advbench.defended.logits import logits_alone
from advbench.defended.members import Members
from advbench.defended.normalized import Normalized
from advbench.defended.own_precision import in_own_precision, own_precision
from advbench.defended.random_model import RandomModel, draws_inside
from advbench.defended.reject import WithoutRefusal
from advbench.defended.smoothed import Smoothing, read_smoothing, smoothed
from advbench.draws.sampling import takes_draws
from advbench.errors import ModelError, SpecError
from advbench.jobs.adapting import adapting
from advbench.jobs.black_box import is_black_box, load_box
from advbench.jobs.channels import fitted
from advbench.jobs.library_model import OfLibrary, of_library
from advbench.jobs.load_network import Source, given_network, load_network
from advbench.jobs.normalizing import (
    Chosen,
    Weights,
    choose_normalization,
    given_normalization,
    usual_normalization,
)
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.subject import SubjectOptions
from advbench.models.checkpoint.load import Loaded
from advbench.models.hub import digest_of
from advbench.models.registry import PIXELS, Normalization
from advbench.names.adaptation import adapts
from advbench.names.grammar import parse_spec, reject_of
from advbench.speed.batch_size import AUTO, filled_up, own_size

_LOOKED: Final = 64
"""Images that are shown to a network whose numbers may be no logits."""

_PIXELS_TAKEN: Final = Chosen(PIXELS, "a module given in Python takes pixels")


class Classifier(NamedTuple):
    """A model ready to be attacked, and where it came from."""

    model: nn.Module
    name: str
    provenance: dict[str, Any]
    chosen: Chosen
    head: int | None
    """How many classes its checkpoint has, where that is not how many the data set has."""
    notes: tuple[str, ...] = ()
    """What the table says of how its network and its weights were understood."""
    remarks: tuple[str, ...] = ()
    """What is said once, beside the table."""
    looks: int = 0
    """How many images the network was shown to find out how it is to be understood."""
    takes: int = 0
    """How many images the network takes at a time where it takes no other number; else 0."""
    library: OfLibrary | None = None
    """The library's model that it is, with preprocessing of its own."""

    @property
    def in_own_batches(self) -> nn.Module:
        """The model for any number of images at a time."""
        return filled_up(self.model, self.takes)

    @property
    def normalization(self) -> Normalization:
        """What stands before the network."""
        return self.chosen.normalization

    @property
    def all_notes(self) -> tuple[str, ...]:
        """What the table says of how the model was understood."""
        return (*filter(None, (self.chosen.note,)), *self.notes)


def load_classifier(
    options: SubjectOptions,
    model: str | None,
    dataset: DatasetEntry,
    images: LabelledImages,
    device: torch.device,
    *,
    indices: Sequence[int],
    ranks: Ranks | None = None,
    at_once: int | str = AUTO,
    own: nn.Module | None = None,
) -> tuple[Classifier, LabelledImages]:
    """The network with its weights behind its normalisation, and the images in as many channels as it takes.

    Args:
        options: the words.
        model: its name; None for a program that names itself.
        dataset: the data set's entry.
        images: the data set, whose classes the network gets, and which may have to tell its normalisation.
        device: where the network goes.
        indices: of the images that are evaluated.
        ranks: the processes that share the run; None to take the usual normalisation and measure nothing.
        at_once: how many images at a time the user asks for; a network may take no other number.
        own: a module that is the model, with its weights in it and called `model`; it is left as it is.
    """
    if is_black_box(options):
        return _black_box(options, model, images, own, at_once)
    given = given_normalization(options, dataset)
    smoothing = _smoothing(options)
    spec = None if model is None or own is not None else parse_spec(model)
    name = shown_name(model, options.checkpoint) if own is None else model or ""
    library = of_library(options, model if own is None else None)
    if own is None:
        source = load_network(options, spec, name, images, device, library=library)
    else:
        source = given_network(own, device)
    looks, whole = Shown(), source.loaded.network
    if adapts(options.defenses):
        whole = adapting(options, whole)
    random = options.random_model and not draws_inside(whole)
    if random and takes_draws(whole):
        whole, random = RandomModel(whole), False
    pictures = images
    with looks_counted(whole, looks):
        images = fitted(images, indices, whole) if library is None else library.images(images)
        x = read_batch(images, indices[:1]).to(device).x
        x = x if library is None else library.network_input(x)
        with_casts = in_own_precision(whole, x)
        takes = _own_size(with_casts, x, at_once)
        batch = x.expand(max(1, takes), -1, -1, -1).contiguous()
        more = partial(_several, images, indices[: takes or _LOOKED], library, batch)
        network, words = _with_logits([with_casts, *(other.network for other in source.others)], batch, more)
    if options.reject_class is not None:
        network = WithoutRefusal(network, reject_of(options.reject_class))
    if random:
        network = _drawn_alone(network, takes)
    weights = Weights(
        network=network,
        name=spec.name if spec else name,
        entry=source.entry,
        path=source.path,
        sha256=source.digest or (digest_of(source.path) if source.path else None),
        bundled=options.checkpoint is None,
        untrained=options.untrained,
        takes=takes,
    )
    chosen = given or _told_by_file(source.loaded) or _told_by_kind(own, library)
    if chosen is None:
        with looks_counted(whole, looks):
            chosen = _looked_for(weights, images, dataset, device, seed=options.seed, ranks=ranks)
    constants = chosen.normalization
    picture = read_batch(pictures, indices[:1]).x[0]
    wrapped, comparison = _prepared(network, constants, library, picture, device)
    if smoothing is not None:
        wrapped = smoothed(wrapped, sigma=smoothing.sigma, draws=smoothing.draws)
    provenance = _provenance(options, source, weights.sha256, library)
    sentences = words if library is None else (*words, comparison, *library.notes(pictures))
    notes = (*source.notes, *source.loaded.notes, *filter(None, sentences))
    head = source.head if options.reject_class is None else None  # it has a class more, on purpose
    classifier = Classifier(
        wrapped.to(device),
        name,
        provenance,
        chosen,
        head,
        notes,
        source.loaded.remarks,
        sum(looks.images.values()),
        takes,
        library,
    )
    return classifier, images


def _black_box(
    options: SubjectOptions,
    model: str | None,
    images: LabelledImages,
    own: nn.Module | None,
    at_once: int | str,
) -> tuple[Classifier, LabelledImages]:
    """A function, an estimator or an endpoint, which takes pixels and hides everything else."""
    box, images, record, notes = load_box(options, images, own, at_once)
    chosen = Chosen(PIXELS, "a black box takes pixels")
    provenance: dict[str, Any] = {
        "path": None,
        "sha256": None,
        "source": "a function given in Python",
        "arguments": {},
    }
    name = model or ""
    return Classifier(box, name, provenance | record, chosen, None, notes, looks=box.meter.asked), images


def _smoothing(options: SubjectOptions) -> Smoothing | None:
    if options.smooth is not None and options.random_model:
        raise SpecError("--smooth and --random-model do not go together: give one.")
    return None if options.smooth is None else read_smoothing(options.smooth)


def _looked_for(
    weights: Weights,
    images: LabelledImages,
    dataset: DatasetEntry,
    device: torch.device,
    *,
    seed: int,
    ranks: Ranks | None,
) -> Chosen:
    """The normalisation that is measured, or the usual one where nothing may be."""
    if ranks is None:
        return Chosen(usual_normalization(weights.entry, dataset), "usual")
    return choose_normalization(weights, images, dataset, device, seed=seed, ranks=ranks)


def _provenance(
    options: SubjectOptions, source: Source, sha256: str | None, library: OfLibrary | None
) -> dict[str, Any]:
    """Where the weights come from, for `run.json`."""
    return {
        "path": str(options.checkpoint) if options.checkpoint else None,
        "sha256": sha256,
        "source": source.loaded.source,
        "arguments": source.arguments,
        **source.loaded.record,
        **({} if library is None else library.record),
        **({"members": [str(path) for path in options.members]} if source.others else {}),
    }


def _told_by_kind(own: nn.Module | None, library: OfLibrary | None) -> Chosen | None:
    """The normalisation of a module that is given, and of a library's model; None of any other."""
    if library is None:
        return _PIXELS_TAKEN if own is not None else None
    described = library.described
    return Chosen(described.preparation.normalization, f"the configuration of {described.library}")


def _prepared(
    network: nn.Module,
    constants: Normalization,
    library: OfLibrary | None,
    picture: Tensor,
    device: torch.device,
) -> tuple[nn.Module, str]:
    """A network behind its normalisation, and what the table says of a library's own preprocessing."""
    within = network if library is None else library.channels_in_order(network)
    normalized = within if constants == PIXELS else Normalized(within, *dataclasses.astuple(constants))
    if library is None:
        return normalized, ""
    comparison = library.comparison(picture, normalized.to(device), device)
    return library.wrapped(normalized), comparison


def _drawn_alone(network: nn.Module, takes: int) -> RandomModel:
    """A network with random numbers of its own for each image, which it is shown by itself.

    Raises:
        ModelError: it takes no single image.
    """
    if takes > 1:
        raise ModelError(
            f"the model takes {takes} images at a time and no other number, and --random-model has to show "
            "it one: let its forward pass take `draws`, or write it for any number of images."
        )
    return RandomModel(network)


def _with_logits(
    networks: Sequence[nn.Module], batch: Tensor, more: Callable[[], Tensor]
) -> tuple[nn.Module, tuple[str, ...]]:
    """A network, or the members of an ensemble, that takes float32 and gives logits, and words on how."""
    read = [logits_alone(in_own_precision(network, batch), batch, more) for network in networks]
    network, words = read[0] if len(read) == 1 else (Members([member for member, _ in read]), read[0][1])
    precision = own_precision(network)
    return network, (*words, *filter(None, (precision and f"the model computes in {precision}, as it is",)))


def _several(
    images: LabelledImages, indices: Sequence[int], library: OfLibrary | None, like: Tensor
) -> Tensor:
    """Several images as a network takes them, as many as it takes where that is fixed."""
    x = read_batch(images, indices).to(like.device).x
    x = x if library is None else library.network_input(x)
    missing = max(0, len(like) - len(x))
    return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])


def _own_size(network: nn.Module, x: Tensor, wanted: int | str) -> int:
    devices = [x.device] if x.device.type == "cuda" else []
    with prepared(network), torch.random.fork_rng(devices=devices):
        return own_size(network, x, wanted)


def shown_name(model: str | None, checkpoint: Path | None) -> str:
    """What the table calls a model: its spec, or the file's name of a program that names itself.

    Raises:
        SpecError: a model that cannot be read, or one with a place.
    """
    if model is None:
        return checkpoint.stem if checkpoint else ""
    spec = parse_spec(model)
    if spec.place is not None:
        raise SpecError(f"a model has no place, got {model!r}.")
    return str(spec)


def _told_by_file(loaded: Loaded) -> Chosen | None:
    """The normalisation whose constants lie beside the weights; None where there is none."""
    if loaded.normalization is None:
        return None
    mean, std = (
        " ".join(f"{number:g}" for number in part) for part in dataclasses.astuple(loaded.normalization)
    )
    keys = ", ".join(loaded.normalization_keys)
    return Chosen(
        loaded.normalization,
        "the checkpoint",
        f"normalisation from the checkpoint ({keys}): mean {mean}, std {std}",
    )
