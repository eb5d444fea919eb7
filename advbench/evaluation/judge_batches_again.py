"""Examples of a model that adapts, brought back into the declared batches in which they were judged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advbench.data.batches import Images, batches
from advbench.defended.adaptation import Adaptation
from advbench.defended.adapting import Episode
from advbench.defended.mates import Mates
from advbench.defended.model import DefendedModel


class Again(NamedTuple):
    """Images that were judged together, and the model that judges these alone, in their batch."""

    model: DefendedModel
    indices: list[int]


def in_declared_batches(
    model: DefendedModel,
    dataset: Images,
    order: Sequence[int],
    adaptation: Adaptation,
    examples: Mapping[int, Tensor] | None = None,
) -> Iterator[Again]:
    """The images of a run in its declared batches, one after another; in each of them a stream goes on.

    Args:
        model: the defended model, as the judge sees it.
        dataset: where the clean images are.
        order: the images, in the order of the run.
        adaptation: how the model adapts.
        examples: the example of each image that has one, `(c, h, w)`; None for clean images.
    """
    assert model.episode is not None
    device = next(model.parameters()).device
    begin = state = model.episode.begin
    one_by_one = adaptation.attacked == "one" and examples is not None
    for batch in batches(dataset, order, adaptation.batch):
        x, episode = batch.to(device).x, Episode(state)
        rows = [
            row for row, index in enumerate(batch.indices.tolist()) if examples is None or index in examples
        ]
        for group in [[row] for row in rows] if one_by_one else [rows] if rows else []:
            seen = model.in_batch(Mates(x, torch.tensor(group, device=device)), episode)
            yield Again(seen, batch.indices[group].tolist())
        left = batch.x.clone()
        if examples is not None and not one_by_one:
            for row in rows:
                left[row] = examples[int(batch.indices[row])]
        state = _left(model, left.to(device), state) if adaptation.protocol == "stream" else begin


def fitting_examples(
    kept: Sequence[tuple[Tensor, Tensor]], dataset: Images, order: Sequence[int]
) -> tuple[dict[int, Tensor], list[int]]:
    """The examples of a rung by the index of their image, and the indices of those that fit no image.

    Args:
        kept: indices and examples, a pair a file.
        dataset: where the images are.
        order: the images of the run.
    """
    known, examples, strange = set(order), dict[int, Tensor](), list[int]()
    shape = next(batches(dataset, order[:1], 1)).x.shape[1:]
    for indices, x_adv in kept:
        for index, example in zip(indices.tolist(), x_adv, strict=True):
            if index in known and example.shape == shape:
                examples[index] = example
            else:
                strange.append(index)
    return examples, strange


@torch.no_grad()
def _left(model: DefendedModel, x: Tensor, state: torch.nn.Module) -> torch.nn.Module:
    """The model as a batch leaves it."""
    episode = Episode(state)
    model.in_batch(Mates(x, torch.arange(len(x), device=x.device)), episode)(x)
    assert episode.after is not None
    return episode.after
