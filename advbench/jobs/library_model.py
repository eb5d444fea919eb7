"""A model of timm or transformers in a run: its labels, its preprocessing, and the space that is attacked."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.data.class_names import ClassNames
from advbench.data.images import LabelledImages
from advbench.data.load import find_dataset
from advbench.data.prepared import PreparedImages
from advbench.data.sources import Place
from advbench.defended.left_as_found import prepared
from advbench.errors import ModelError, SpecError
from advbench.jobs.settings.subject import SpaceName, SubjectOptions
from advbench.models.libraries import Described, describe_model, names_library
from advbench.models.preparation import Flipped, Preparation, Sized, as_bytes, in_colour, sized
from advbench.models.registry import Normalization
from advbench.names.grammar import parse_spec

_ROOM: Final = 1e-4
"""How far what the network is given may lie from what the library would give it: float32's roundings."""


class OfLibrary(NamedTuple):
    """A library's model, and where in its preprocessing the attack works."""

    described: Described
    space: SpaceName

    @property
    def preparation(self) -> Preparation:
        """Its preprocessing."""
        return self.described.preparation

    @property
    def settings(self) -> dict[str, Any]:
        """What a run's numbers depend on, for `run.json`."""
        preparation = self.preparation
        return {
            "space": self.space,
            "preparation": {**preparation.config, "from_defaults": list(preparation.defaults)},
        }

    @property
    def record(self) -> dict[str, Any]:
        """What it comes from, for `run.json`."""
        revision = self.described.revision
        return {"library": self.described.library, **({"revision": revision} if revision else {})}

    def images(self, images: LabelledImages) -> LabelledImages:
        """The images in the space that is attacked."""
        if self.space == "image":
            return images
        behind = PreparedImages(images=images.images, preparation=self.preparation)
        return dataclasses.replace(images, images=behind)

    def network_input(self, x: Tensor) -> Tensor:
        """Images of the space that is attacked as the network takes them, but for its normalisation."""
        return Sized(nn.Identity(), self.preparation)(x) if self.space == "image" else x

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The model, from pixels at the network's own size, as one from the pixels that are attacked."""
        return Sized(model, self.preparation) if self.space == "image" else model

    def channels_in_order(self, network: nn.Module) -> nn.Module:
        """The network for red, green, blue."""
        return Flipped(network) if self.preparation.flipped else network

    def notes(self, images: LabelledImages) -> tuple[str, ...]:
        """What the table says of how the model was understood."""
        labels, classes = self.described.labels, images.classes
        library = self.described.library
        notes = []
        if self.preparation.defaults:
            notes.append(
                f"{', '.join(self.preparation.defaults)} of its preprocessing stand in no file: they are the "
                f"defaults of {library}"
            )
        if labels and classes and images.outputs is None:
            first = ", ".join(repr(label) for label, _ in labels[:2])
            notes.append(
                f"its labels ({first}, ...) do not name the data set's classes ({classes[0]!r}, ...), which "
                "are taken for its outputs in their order"
            )
        return tuple(notes)

    def remarks(self, images: LabelledImages) -> tuple[str, ...]:
        """What is said once beside the table."""
        if images.outputs is None or not self.described.labels:
            return ()
        return ("the data set's classes are taken for the model's outputs of the same names",)

    def comparison(self, picture: Tensor, model: nn.Module, device: torch.device) -> str:
        """Hold a picture against the library's own preprocessing, and tell what is not the same.

        Args:
            picture: `(c, h, w)` in [0, 1], of its own size.
            model: from pixels at the network's own size to logits.
            device: where it is.

        Returns:
            In image space how far pixels and logits are from the library's, which rounds to 8 bits; empty
            otherwise, and for a picture of other levels than 8 bits.

        Raises:
            ModelError: the library does something else than resize, crop, rescale and normalise.
        """
        levels = as_bytes(in_colour(picture))
        if levels is None:
            return ""
        theirs = self.preparation.whole(levels).to(torch.float32)
        own = sized(self.preparation, picture)
        given = _normalized(own.flip(0) if self.preparation.flipped else own, self.preparation.normalization)
        if given.shape != theirs.shape or float((given - theirs).abs().max()) > _ROOM:
            raise ModelError(
                f"the preprocessing of {self.described.library} for this model does something else than to "
                "resize, crop, rescale and normalise, and cannot be followed."
            )
        if self.space == "input":
            return ""
        exact = Sized(nn.Identity(), self.preparation)(picture[None])
        far = float((exact[0] - own).abs().max()) * 255
        pair = torch.cat([exact, own[None]]).to(device)
        with prepared(model), torch.no_grad():
            logits = model(pair)
        difference = float((logits[0] - logits[1]).abs().max())
        return (
            "it is attacked before its own resize and crop, which are done without the rounding to 8 bits of "
            f"{self.described.library}: on the first image pixels differ by up to {far:.2g}/255, and logits "
            f"by {difference:.2g}"
        )


def of_library(options: SubjectOptions, model: str | None) -> OfLibrary | None:
    """The library's model that the words name; None for any other.

    Raises:
        SpecError: options that do not fit such a model, or fit none but it.
    """
    spec = None if model is None else parse_spec(model)
    if spec is None or not names_library(spec.name):
        if options.space is not None:
            raise SpecError(
                "--space is of models with preprocessing of their own: --model timm:NAME, hf:NAME."
            )
        return None
    space = options.space or "input"
    if options.channels == 1:
        raise SpecError(
            f"{spec.name} takes RGB, of which grey pictures get three equal channels: no --channels."
        )
    if options.image_size is not None and space == "input":
        raise SpecError(
            f"{spec.name} resizes and crops by itself, and --image-size would do so before it: leave it "
            "away, or attack the pictures of that size with --space image."
        )
    own = options.checkpoint is None and not options.untrained
    return OfLibrary(describe_model(spec, download=options.download, own_weights=own), space)


def place_for(options: SubjectOptions, dataset: str, place: Place) -> Place:
    """Where images are, for a library's model: in their own size, labelled by the model's own names."""
    library = of_library(options, options.model)
    if library is None:
        return place
    labels: Sequence[tuple[str, int]] = library.described.labels
    return dataclasses.replace(
        place,
        download=place.download and find_dataset(dataset).downloads,
        model_names=ClassNames(tuple(labels), library.described.outputs) if labels else None,
        whole=True,
    )


def _normalized(x: Tensor, normalization: Normalization) -> Tensor:
    mean, std = (torch.tensor(part).view(-1, 1, 1) for part in dataclasses.astuple(normalization))
    return (x - mean) / std
