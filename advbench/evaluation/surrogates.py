"""The surrogate of a run: checked, distilled where none is given, and graded."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, read_batch
from advbench.defended.distilled import Distilled, distilled, neighbours
from advbench.defended.learned import pack_network, read_fitted
from advbench.defended.model import network_of
from advbench.defended.output_kinds import PROBABILITIES, reading_of
from advbench.defended.surrogate import DISTILLED, Surrogate, moves_in_steps
from advbench.draws.draws import Draws
from advbench.errors import ModelError
from advbench.evaluation.choose_substitutes import digest, pack_candidates, read_candidates, search_file
from advbench.evaluation.plan import Plan
from advbench.evaluation.search_substitutes import Choice, Search, Store
from advbench.evaluation.soft_steps import softest
from advbench.names.user_code import told_as
from advbench.results.records import UNDEFENDED
from advbench.results.surrogates import SOFT_STEPS, Likeness
from advbench.threat.judge import predict

LOOKED_AT: Final = 1024
"""Images that one is distilled from, at most."""
_HELD_OUT: Final = 0.2
_COMPARED: Final = 256
"""Perturbed images on which a surrogate is compared with the model."""
_FEW: Final = 8
_NEXT: Final = 1e-3  # of the radius


@dataclass(frozen=True)
class Shares:
    """Which of a run's images a surrogate is fitted on, and which it is graded on."""

    fitting: list[int]
    held_out: list[int]


def shares_of(plan: Plan) -> Shares:
    """A fifth of the images is held out; a single image is both."""
    sample = plan.sample(LOOKED_AT)
    order = torch.randperm(len(sample), generator=torch.Generator().manual_seed(plan.seed % 2**63)).tolist()
    held = max(1, int(_HELD_OUT * len(sample)))
    held_out = sorted(sample[place] for place in order[:held])
    return Shares([index for index in sample if index not in set(held_out)] or held_out, held_out)


def check_stand_ins(plan: Plan) -> None:
    """See on a few images whether the surrogate and the source can be used.

    Raises:
        ModelError: they cannot.
    """
    if plan.source is None and plan.surrogate is None:
        return
    x = _batch(plan, plan.sample(_FEW)).x
    if plan.source is not None:
        assert plan.source.network is not None
        _check_logits("source", plan.source.network, _logits(plan, x), x)
    if plan.surrogate is not None and plan.surrogate.network is not None:
        check_surrogate(plan.model, plan.surrogate.network, x, _logits(plan, x))


def check_surrogate(model: nn.Module, surrogate: nn.Module, x: Tensor, logits: Tensor) -> None:
    """See whether a surrogate can stand in for a model.

    Args:
        model: what it stands in for.
        surrogate: pixels to logits.
        x: images, `(n, c, h, w)`.
        logits: the model's there, `(n, k)`.

    Raises:
        ModelError: it cannot.
    """
    if network_of(surrogate) is network_of(model):
        raise ModelError(
            "the surrogate is the model itself, whose own gradient the shattered rung follows: give another "
            "one."
        )
    with torch.enable_grad():
        point = x.detach().clone().requires_grad_()
        own = _check_logits("surrogate", surrogate, logits, point)
        weights = torch.arange(1.0, own.numel() + 1.0, device=own.device).cos().view_as(own)
        grad = None
        if own.requires_grad:
            (grad,) = torch.autograd.grad((own * weights).sum(), point, allow_unused=True)
    if grad is None or not bool((grad != 0.0).any()):
        raise ModelError(
            f"the surrogate has no gradient: it is {'cut off' if grad is None else 'zero'} for all pixels of "
            f"{len(x)} images. Give a differentiable version of the model, or {DISTILLED!r}."
        )


def _check_logits(what: str, network: nn.Module, logits: Tensor, x: Tensor) -> Tensor:
    """Logits of a surrogate or a source, which must have those of the model's shape."""
    with told_as(ModelError, f"the {what} cannot take images of shape {tuple(x.shape[1:])}"):
        own = network(x)
    if not isinstance(own, Tensor) or not own.is_floating_point() or own.shape != logits.shape:
        got = tuple(own.shape) if isinstance(own, Tensor) else type(own).__name__
        raise ModelError(
            f"the {what} must return logits of the model's shape {tuple(logits.shape)}, got {got}."
        )
    if not bool(own.isfinite().all()):
        count = int((~own.isfinite().all(1)).sum())
        raise ModelError(f"the {what} returns NaN or infinite logits for {count} of {len(x)} clean images.")
    return own


class Settled(NamedTuple):
    """A surrogate that is ready, how alike it is, and how it was graded on the undefended row."""

    plan: Plan
    likeness: Likeness
    choice: Choice


def settled_surrogate(plan: Plan, store: Store, note: Callable[[str], None]) -> Settled:
    """The plan with a surrogate that is there, and what is to be told of it.

    Args:
        plan: the evaluation; it has a surrogate.
        store: what is kept for another start, and for the other processes.
        note: is told in a sentence how alike it is.
    """
    assert plan.surrogate is not None
    shares = shares_of(plan)
    surrogate = plan.surrogate
    if surrogate.name == SOFT_STEPS:
        surrogate, choice = softest(plan, store)
        plan = replace(plan, surrogate=surrogate)
        likeness = _likeness(plan, surrogate, shares.held_out)
        note(likeness.sentence)
        return Settled(plan, likeness, choice)
    if surrogate.network is None:
        surrogate = replace(surrogate, network=_distilled(plan, shares, store))
    stepwise = _is_stepwise(plan, shares.held_out)
    plan = replace(plan, surrogate=surrogate, stepwise=stepwise)
    likeness = _likeness(plan, surrogate, shares.held_out)
    note(likeness.sentence)
    return Settled(plan, likeness, _graded(plan, surrogate, store))


def _distilled(plan: Plan, shares: Shares, store: Store) -> Distilled:
    """The network that an earlier start has distilled, or one that is distilled now."""
    batch = _batch(plan, shares.fitting)
    what = f"{plan.threat}; {plan.seed}; {digest(batch.x.cpu().numpy().tobytes())}"
    name = f"{DISTILLED}-{digest(what)}.safetensors"
    contents = store.load(name)
    network = None if contents is None else read_fitted(contents, plan.device, Distilled)
    if network is None:
        draws = Draws(plan.seed, batch.indices).stream("distill")
        seen = partial(_seen, plan)
        network = distilled(seen, batch.x, draws, plan.threat, plan.seed)
        store.save(name, pack_network(network, store.origin))
    return network


def _seen(plan: Plan, x: Tensor) -> tuple[Tensor, Tensor]:
    """Images with what a network is fitted to: probabilities themselves, as the logarithm of 0 is far off."""
    logits = _logits(plan, x)
    return x, logits.exp() if reading_of(plan.model) == PROBABILITIES else logits


@torch.no_grad()
def _logits(plan: Plan, x: Tensor) -> Tensor:
    """What the undefended model answers, in pieces that it can take."""
    model = plan.judged(UNDEFENDED)
    return torch.cat([model(part) for part in torch.split(x, max(1, plan.size.images))])


def _batch(plan: Plan, indices: list[int]) -> Batch:
    return read_batch(plan.dataset, indices).to(plan.device)


def _is_stepwise(plan: Plan, held_out: list[int]) -> bool:
    """Whether the model's outputs stay the same a thousandth of the radius further on.

    Asked at random points: images of few levels may lie on the very steps of a tree.
    """
    batch = _batch(plan, held_out[:_COMPARED])
    draws = Draws(plan.seed, batch.indices).stream("surrogate/steps")
    near = replace(plan.threat, eps=_NEXT * plan.threat.eps, text="")
    x = plan.threat.random_point(batch.x, draws)
    return moves_in_steps(partial(_logits, plan), x, near.random_point(x, draws.stream("next")))


@torch.no_grad()
def _likeness(plan: Plan, surrogate: Surrogate, held_out: list[int]) -> Likeness:
    assert surrogate.network is not None
    batch = _batch(plan, held_out[:_COMPARED])
    draws = Draws(plan.seed, batch.indices).stream("surrogate/likeness")
    x = neighbours(batch.x, draws, plan.threat, _COMPARED)
    own = torch.cat([surrogate.network(part) for part in torch.split(x, max(1, plan.size.images))])
    agreeing = int((predict(own) == predict(_logits(plan, x))).sum())
    return Likeness(name=surrogate.name, agreeing=agreeing, n=len(x), stepwise=plan.stepwise)


def _graded(plan: Plan, surrogate: Surrogate, store: Store) -> Choice:
    """The surrogate as the substitute of the undefended row, graded as a search grades substitutes."""
    name = search_file(UNDEFENDED)
    candidates = read_candidates(store.load(name), UNDEFENDED)
    if candidates is None:
        graded = Search(plan, UNDEFENDED, lambda _: None).grade(())
        candidates = (replace(graded.candidate, substitute=surrogate.name, rank=1),)
        store.save(name, pack_candidates(candidates, store.origin))
    return Choice(((),), surrogate.name, candidates)
