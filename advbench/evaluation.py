"""The harness: every rung on the same images, judged afresh, one record an image and rung."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from advbench.backward import Map, name_of
from advbench.check import check_substitutes, checked_logits, doubts_about
from advbench.data.batches import Batch, Images, batches
from advbench.defended import DefendedModel, Placement
from advbench.draws import Draws
from advbench.errors import InputError
from advbench.interfaces import Attack, Attempt
from advbench.judge import Judgement, judge
from advbench.preserve import prepared
from advbench.records import SAMPLE_TYPES, UNDEFENDED, Row, Rung, join_samples, rates_of, warnings_of
from advbench.threat import Threat

Chain = Map | Placement | Sequence[Placement | Map]
"""A defense as a caller may give it: a map at the input, a placement, or several in their order."""


@dataclass(frozen=True)
class Checked:
    """Every clean image went through every defended model and nothing was wrong; the attacks begin.

    Args:
        fingerprint: a hash of the images and labels that are used, in their order.
        work: how many (image, rung) pairs are to come.
    """

    fingerprint: str
    work: int


@dataclass(frozen=True)
class RungDone:
    """A batch was judged under one rung of one defense and attack; its records."""

    defense: str
    attack: str
    rung: Rung
    samples: pd.DataFrame


@dataclass(frozen=True)
class Evaluation:
    """What a run found.

    Args:
        rows: the table, the undefended model first, then the defenses in the order given.
        samples: one record an image and rung, columns as in `records.SAMPLE_TYPES`.
        fingerprint: a hash of the images and labels that were used, in their order.
    """

    rows: tuple[Row, ...]
    samples: pd.DataFrame
    fingerprint: str


def evaluate(
    model: nn.Module,
    dataset: Images,
    *,
    threat: Threat,
    attacks: Mapping[str, Attack],
    defenses: Mapping[str, Chain] | None = None,
    bpda: bool = True,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 128,
    names: tuple[str, str] = ("model", "data"),
    begin: Callable[[Checked], pd.DataFrame | None] = lambda _: None,
    notify: Callable[[RungDone], None] = lambda _: None,
) -> Evaluation:
    """Attack a classifier behind each defense, along the defense's own gradient and with BPDA.

    Only images that the defended model classifies correctly are attacked; the others count as not
    robust. What an attack returns is projected into ball and box and judged by a forward pass of its own.
    The model, and defenses that are modules, are put into evaluation mode and left as they were found.

    Args:
        model: pixels in [0, 1] `(n, c, h, w)` to logits `(n, k)`, normalisation inside.
        dataset: any map-style data set of (image `(c, h, w)` in [0, 1], label), for example a
            `TensorDataset`.
        threat: what the adversary may do.
        attacks: the attacks by the name that the table gives them.
        defenses: the defenses by the name that the table gives them; the undefended model, called
            `none`, is always there too.
        bpda: whether to run the bpda rung.
        indices: which images of the data set; all of them by default.
        seed: of the images' random streams.
        batch_size: images at a time; it changes memory and speed, not the table.
        names: the model's and the data set's name in the table.
        begin: is told once that the input has proved usable; it may return records of an earlier start
            of the same evaluation, whose images are then not attacked again.
        notify: is given the records of each batch under each rung as they are made. What it raises ends
            the evaluation.

    Raises:
        ModelError: a model that breaks its contract on clean images.
        DatasetError: images or labels that cannot be used.
        DefenseError: a place that the network does not have, or a substitute that does not fit.
    """
    chosen = _chosen(dataset, indices)
    plan = _Plan(model, _chains(defenses or {}), attacks, threat, bpda, seed, dataset, batch_size)
    _check_plan(plan)
    with torch.inference_mode(False), prepared(*plan.modules()):
        clean = _clean_pass(plan, chosen)
        rungs = [cell for cell in plan.cells() if cell.rung != "clean"]
        known = begin(Checked(clean.fingerprint, len(chosen) * len(rungs)))
        parts = {_Cell(defense, "", "clean"): each for defense, each in clean.samples.items()}
        for cell in rungs:
            done = [_of_cell(known, cell, chosen)]
            for samples in _attacked_samples(plan, cell, clean, done[0]["index"]):
                notify(RungDone(cell.defense, cell.attack, cell.rung, samples))
                done.append(samples)
            # Back into the order of the images, which the attack has left behind.
            parts[cell] = join_samples(done).set_index("index").loc[chosen].reset_index()
    samples = join_samples([parts[cell] for cell in plan.cells()])
    return Evaluation(_rows(plan, samples, clean.doubts, names), samples, clean.fingerprint)


class _Cell(NamedTuple):
    """One rung of one defense and attack; the clean rung belongs to no attack."""

    defense: str
    attack: str
    rung: Rung


@dataclass(frozen=True)
class _Plan:
    """What is to be run."""

    model: nn.Module
    chains: Mapping[str, tuple[Placement, ...]]
    attacks: Mapping[str, Attack]
    threat: Threat
    bpda: bool
    seed: int
    dataset: Images
    batch_size: int

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        tensors = itertools.chain(self.model.parameters(), self.model.buffers())
        return next((each.device for each in tensors), torch.device("cpu"))

    def modules(self) -> list[nn.Module]:
        """What has a state: the model, and the defenses and substitutes that are modules."""
        links = [link for chain in self.chains.values() for link in chain]
        maps = [each for link in links for each in (link.defense, link.chosen_substitute)]
        return [self.model, *(each for each in maps if isinstance(each, nn.Module))]

    def cells(self) -> Iterator[_Cell]:
        """Every rung that is run, in the order of the table and the ladder."""
        for defense, chain in self.chains.items():
            yield _Cell(defense, "", "clean")
            for attack in self.attacks:
                yield _Cell(defense, attack, "shattered")
                if self.bpda and chain:
                    yield _Cell(defense, attack, "bpda")


class _Clean(NamedTuple):
    """What the pass over the clean images found."""

    samples: dict[str, pd.DataFrame]
    doubts: dict[str, list[str]]
    digests: dict[int, bytes]
    fingerprint: str


def _chosen(dataset: Images, indices: Sequence[int] | None) -> list[int]:
    chosen = list(range(len(dataset))) if indices is None else [int(each) for each in indices]
    if not chosen:
        raise InputError("there are no images to evaluate.")
    if len(set(chosen)) < len(chosen):
        raise InputError("indices must be distinct: an image counts once.")
    if min(chosen) < 0 or max(chosen) >= len(dataset):
        raise InputError(f"indices must lie in 0..{len(dataset) - 1}, got {min(chosen)}..{max(chosen)}.")
    return chosen


def _chains(defenses: Mapping[str, Chain]) -> dict[str, tuple[Placement, ...]]:
    if UNDEFENDED in defenses:
        raise InputError(f"{UNDEFENDED!r} is the undefended model, always there; choose another name.")
    return {UNDEFENDED: (), **{name: _placements(chain) for name, chain in defenses.items()}}


def _placements(chain: Chain) -> tuple[Placement, ...]:
    links = [chain] if isinstance(chain, Placement) or callable(chain) else list(chain)
    placements = tuple(each if isinstance(each, Placement) else Placement(each) for each in links)
    if not placements or not all(callable(each.defense) for each in placements):
        raise InputError(f"a defense must be a function, a Placement, or a list of them, got {chain!r}.")
    return placements


def _check_plan(plan: _Plan) -> None:
    if not plan.attacks:
        raise InputError("there are no attacks to run.")
    if not isinstance(plan.model, nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, got {type(plan.model).__name__}.")
    wrong = {each.dtype for each in plan.model.parameters() if each.is_floating_point()} - {torch.float32}
    if wrong:
        raise InputError(f"advbench computes in float32, the model is in {wrong.pop()}: call model.float().")


def _clean_pass(plan: _Plan, chosen: Sequence[int]) -> _Clean:
    """Judge the clean images behind every defense, and look for what would spoil the run."""
    parts: dict[str, list[pd.DataFrame]] = {defense: [] for defense in plan.chains}
    doubts: dict[str, list[str]] = {}
    digests: dict[int, bytes] = {}
    for batch in batches(plan.dataset, chosen, plan.batch_size):
        digests.update(_digests(batch))
        on_device = batch.to(plan.device)
        for defense, chain in plan.chains.items():
            model = DefendedModel(plan.model, chain)
            logits = checked_logits(model, on_device.x, on_device.y)
            if defense not in doubts:  # the first batch
                doubts[defense] = doubts_about(model, on_device.x, logits)
                if plan.bpda and chain:
                    check_substitutes(DefendedModel(plan.model, chain, bpda=True), on_device.x)
            judged = judge(logits, on_device.x, on_device.x, on_device.y, plan.threat)
            parts[defense].append(_samples(_Cell(defense, "", "clean"), batch, judged))
    samples = {defense: join_samples(each) for defense, each in parts.items()}
    return _Clean(samples, doubts, digests, hashlib.sha256(b"".join(digests.values())).hexdigest())


def _digests(batch: Batch) -> dict[int, bytes]:
    """A digest of each image with its label, by its index."""
    return {
        int(index): hashlib.blake2b(np.ascontiguousarray(x).tobytes() + y.tobytes(), digest_size=16).digest()
        for index, x, y in zip(batch.indices, batch.x.numpy(), batch.y.numpy(), strict=True)
    }


def _attacked_samples(
    plan: _Plan, cell: _Cell, clean: _Clean, done: "pd.Series[int]"
) -> Iterator[pd.DataFrame]:
    """Attack the images that still stand, in full batches; those that do not are written down as they are."""
    todo = clean.samples[cell.defense]
    todo = todo[~todo["index"].isin(done)]
    standing = todo[todo["robust"]]["index"].tolist()
    for batch in batches(plan.dataset, standing, plan.batch_size):
        if any(clean.digests[index] != digest for index, digest in _digests(batch).items()):
            raise InputError("the data set gives other images when read again; switch random transforms off.")
        judged, attempt = _attack(plan, cell, batch.to(plan.device))
        yield _samples(cell, batch, judged, attempt)
    fallen = todo[~todo["robust"]]
    if len(fallen):
        yield fallen.assign(rung=cell.rung, attack=cell.attack)


def _of_cell(known: pd.DataFrame | None, cell: _Cell, chosen: Sequence[int]) -> pd.DataFrame:
    """The records that are there already of one rung; none without an earlier start."""
    if known is None:
        return join_samples([])
    mine = known["index"].isin(list(chosen))
    for column, value in cell._asdict().items():
        mine &= known[column] == value
    return known[mine]


def _samples(cell: _Cell, batch: Batch, judged: Judgement, attempt: Attempt | None = None) -> pd.DataFrame:
    """The records of a batch. What is attacked was right at first, so its clean prediction is its label."""
    zero = torch.zeros_like(batch.y)
    columns = {
        "index": batch.indices,
        "label": batch.y,
        "clean_prediction": judged.prediction if attempt is None else batch.y,
        "prediction": judged.prediction,
        "robust": judged.robust,
        "distance": judged.distance,
        "loss": judged.loss,
        "steps": zero if attempt is None else attempt.steps,
        "queries": zero if attempt is None else attempt.queries,
        "flat_gradient": zero.bool() if attempt is None else attempt.flat,
    }
    frame = pd.DataFrame({name: each.cpu().numpy() for name, each in columns.items()})
    return frame.assign(rung=cell.rung, defense=cell.defense, attack=cell.attack)[list(SAMPLE_TYPES)]


def _attack(plan: _Plan, cell: _Cell, batch: Batch) -> tuple[Judgement, Attempt]:
    """Run an attack on one rung and judge what it returns by a forward pass of its own."""
    indices, x, y = batch
    chain, threat = plan.chains[cell.defense], plan.threat
    target = DefendedModel(plan.model, chain, bpda=cell.rung == "bpda")
    draws = Draws(plan.seed, indices).stream(cell.rung)
    attempt = plan.attacks[cell.attack](target, x, y, threat, draws)
    x_adv = threat.project(attempt.x_adv.detach(), x)
    with torch.no_grad():
        logits = DefendedModel(plan.model, chain)(x_adv)
    return judge(logits, x_adv, x, y, threat), attempt


def _rows(
    plan: _Plan, samples: pd.DataFrame, doubts: Mapping[str, list[str]], names: tuple[str, str]
) -> tuple[Row, ...]:
    return tuple(
        Row(
            model=names[0],
            dataset=names[1],
            n=rates["clean"].n,
            defense=defense,
            norm=plan.threat.norm,
            eps=plan.threat.text,
            attack=attack,
            rates=rates,
            reasons={"bpda": "no defense to substitute"} if plan.bpda and not chain else {},
            substitute="+".join(name_of(each.chosen_substitute) for each in chain) if plan.bpda else "",
            warnings=(*doubts[defense], *warnings_of(samples, defense, attack)),
        )
        for defense, chain in plan.chains.items()
        for attack in plan.attacks
        for rates in [rates_of(samples, defense, attack)]
    )
