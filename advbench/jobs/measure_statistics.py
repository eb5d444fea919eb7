"""Defenses that need to know a network's activations: measured on training images before a run begins."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.data.batches import batches
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sampling import balanced_order
from advbench.data.sources import Place
from advbench.defended.model import Placement
from advbench.defended.substitutes import unwrapped
from advbench.defenses.channels import Spot, channel_statistics
from advbench.defenses.meansparse import MeanSparse
from advbench.draws.sampling import Sampling
from advbench.errors import DatasetError, SpecError

_AT_ONCE: Final = 64
_ENOUGH: Final = 50
"""Images beside the attacked ones, where there is no training split; with fewer, deviations are guesses."""

Chains = Mapping[str, tuple[Placement, ...]]


class Source(NamedTuple):
    """Where images come from.

    Args:
        dataset: the data set's name.
        place: where it lies, with the run's split.
        own: images that the caller gave, which have no splits.
        images: those of the run, and
        attacked: which of them are attacked.
        seed: of the run.
    """

    dataset: str
    place: Place
    own: LabelledImages | None
    images: LabelledImages
    attacked: list[int]
    seed: int


class Measured(NamedTuple):
    """What came of it."""

    chains: dict[str, tuple[Placement, ...]]
    """The defenses, with their statistics."""
    settings: dict[str, list[dict[str, Any] | None]]
    """What the statistics of each link are of, by defense, for `run.json`; None for other links."""
    shown: int
    """How many images the network was shown."""


class _Training(NamedTuple):
    """Training images, and which they are."""

    images: LabelledImages
    indices: list[int]
    origin: str

    def batches(self, size: int, device: torch.device) -> Iterator[Tensor]:
        """Their pixels."""
        for batch in batches(self.images, self.indices, size):
            yield batch.x.to(device)

    def account(self) -> dict[str, Any]:
        """What settles the statistics, beside the network."""
        digest = hashlib.sha256()
        for batch in batches(self.images, self.indices, _AT_ONCE):
            digest.update(batch.x.numpy().tobytes())
        return {"images": len(self.indices), "of": self.origin, "sha256": digest.hexdigest()[:16]}


def measured(chains: Chains, source: Source, model: nn.Module, *, takes: int = 0) -> Measured:
    """Give every defense that has none the statistics of its place.

    Args:
        chains: the defenses in their places by name.
        source: where training images come from.
        model: the undefended model: pixels to logits.
        takes: how many images the network takes at a time where it takes no other number; else 0.

    Raises:
        InputError: no training images, or activations that have no statistics.
    """
    wanted: dict[tuple[str, int], dict[Spot, None]] = {}
    for chain in chains.values():
        for link in chain:
            own = _unmeasured(link)
            if own is not None:
                wanted.setdefault((own.split, own.images), {})[Spot(link.at, own.axis)] = None
    known, accounts, shown = dict[tuple[str, int, Spot], Tensor](), dict[tuple[str, int], dict[str, Any]](), 0
    for (split, count), spots in wanted.items():
        training = _training(source, split, count, takes)
        statistics = channel_statistics(
            model,
            training.batches(takes or _AT_ONCE, _device(model)),
            list(spots),
            sampling=Sampling(source.seed, "statistics"),
        )
        known |= {(split, count, spot): own for spot, own in zip(spots, statistics, strict=True)}
        accounts[split, count] = training.account()
        shown += len(training.indices)
    made = {defense: tuple(_with(link, known) for link in chain) for defense, chain in chains.items()}
    settings = {defense: [_account(link, accounts) for link in chain] for defense, chain in chains.items()}
    return Measured(made, settings, shown)


def _unmeasured(link: Placement) -> MeanSparse | None:
    own = unwrapped(link.defense)
    return own if isinstance(own, MeanSparse) and not own.is_measured else None


def _with(link: Placement, known: Mapping[tuple[str, int, Spot], Tensor]) -> Placement:
    own = _unmeasured(link)
    if own is None:
        return link
    if own is not link.defense:
        raise SpecError("a wrapped meansparse needs statistics=: give them, or Placement(MeanSparse(...)).")
    statistics = known[own.split, own.images, Spot(link.at, own.axis)]
    return replace(link, defense=replace(own, statistics=statistics))


def _account(link: Placement, accounts: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, Any] | None:
    own = _unmeasured(link)
    return None if own is None else accounts[own.split, own.images]


def _training(source: Source, split: str, count: int, takes: int) -> _Training:
    """A balanced sample of the split; whole batches where the network takes nothing else.

    Where there is no such split, of the run's own images that are not attacked.

    Raises:
        DatasetError: the split cannot be read.
        SpecError: there are too few images.
    """
    if source.own is None and split != source.place.split and _has_splits(source, split):
        try:
            images = load_dataset(source.dataset, replace(source.place, split=split))
        except DatasetError as error:
            raise DatasetError(f"meansparse is measured on the split {split!r}. {error}") from error
        order, origin = balanced_order(images.labels, source.seed), split
    else:
        attacked, images = set(source.attacked), source.images
        order = [index for index in balanced_order(images.labels, source.seed) if index not in attacked]
        origin = "the run's images that are not attacked"
    usable = min(count, len(order))
    usable -= usable % takes if takes else 0
    if usable < min(count, _ENOUGH):
        raise SpecError(
            f"meansparse needs {min(count, _ENOUGH)} images to measure its statistics on, and {origin} are "
            f"{usable}: attack fewer with --limit, give split=NAME of the data set, or statistics=FILE."
        )
    return _Training(images, sorted(order[:usable]), origin)


def _has_splits(source: Source, split: str) -> bool:
    """Whether there may be other images under the split's name: a file and a plain folder have only one."""
    root = source.place.root
    single = root.is_file() if source.dataset == "npz" else source.dataset == "imagefolder"
    return not single or (root / split).is_dir()


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
