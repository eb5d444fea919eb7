"""Fit a network to a head where attacks arrive: fit it, attack through it, ask the head, fit it again."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from advbench.defended.gradient import loss_and_gradient
from advbench.defended.learned_head import HeadImitation, agreement_of, fit_to_head, new_imitation
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.draws.sampling import Sampling
from advbench.evaluation.plan import Links, Plan
from advbench.threat.losses import cross_entropy
from advbench.threat.threat import Threat

ROUNDS: Final = 3
"""Times that a network is attacked and fitted again."""

STEPS: Final = 10
"""Of these attacks."""

_CLOUDS: Final = 3  # random points of each image's ball that the first fit sees
_ALONG: Final = (0.5, 0.75, 1.0)  # points on the way to where an attack has arrived
_BATCH: Final = 128

Seen = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images to the features that the head reads and the scores that it gives."""


def distilled(plan: Plan, head: tuple[Links, int], seen: Seen, x: Tensor, draws: Draws) -> HeadImitation:
    """A network that decides as a head does on features that attacks reach; the plan's seed decides it.

    No label is needed: an attack drives an image away from what the head says of it.

    Args:
        plan: the evaluation.
        head: the defense with the head, and where in it the head is.
        seen: runs the defended model on images, and says what the head met.
        x: the run's images, `(n, c, h, w)`.
        draws: their streams.

    Returns:
        The network, which keeps its agreement with the head on features that it was not fitted to.
    """
    chain, position = head
    clouds = [_moved(x, plan.threat, draws.stream(number)) for number in range(_CLOUDS)]
    pairs = [_seen_in_parts(seen, images) for images in (x, *clouds)]
    clean = pairs[0][1].argmax(1)
    network = new_imitation(*pairs[0], plan.seed)

    def attacked(number: int) -> Tensor:
        placed = tuple(
            replace(link, substitute=network) if place == position else link
            for place, link in enumerate(chain)
        )
        sampling = Sampling(plan.seed, "learn")
        model = DefendedModel(
            plan.model,
            tuple(link.as_attacked for link in placed),
            bpda=True,
            sampling=sampling,
            lanes=plan.size.lanes,
            at_once=plan.size.images,
        )
        return driven(model, x, clean, plan.threat, draws.stream(_CLOUDS + number))

    for number in range(ROUNDS + 1):
        features, scores = (torch.cat(side) for side in zip(*pairs, strict=True))
        fit_to_head(network, features, scores, plan.seed + number)
        x_adv = attacked(number)
        arrived = [_seen_in_parts(seen, x + share * (x_adv - x)) for share in _ALONG]
        if number < ROUNDS:
            pairs += arrived
    shares = [agreement_of(network, *part) for part in arrived]
    network.agreement.fill_(sum(shares) / len(shares))
    return network


def driven(model: DefendedModel, x: Tensor, labels: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Where a short ascent from random points drives images away from their labels, `(n, c, h, w)`."""
    x_adv = threat.random_point(x, draws)
    for _ in range(STEPS):
        parts = torch.split(torch.arange(len(x)), _BATCH)
        grads = [loss_and_gradient(model, x_adv[part], partial(_away, labels[part])).grad for part in parts]
        step = threat.steepest(torch.cat(grads).nan_to_num())
        x_adv = threat.project(x_adv.add(step, alpha=2.5 * threat.eps / STEPS), x)
    return x_adv


def _away(labels: Tensor, logits: Tensor, piece: slice) -> Tensor:
    return cross_entropy(logits, labels[piece])


def _moved(x: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Random points of the balls up to the threat's."""
    radius = draws.stream("radius").uniform((1,) * (x.dim() - 1)).to(x)
    return x + radius * (threat.random_point(x, draws) - x)


def _seen_in_parts(seen: Seen, x: Tensor) -> tuple[Tensor, Tensor]:
    parts = [seen(part) for part in torch.split(x, _BATCH)]
    features, scores = (torch.cat(side) for side in zip(*parts, strict=True))
    return features, scores
