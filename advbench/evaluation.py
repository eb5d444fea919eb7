"""The harness: every rung on the same images, judged afresh, one record an image and rung."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from advbench.batch_size import AUTO, BatchSize, fitting_lanes, in_batches, probed_size
from advbench.check import check_substitutes, checked_logits, doubts_about
from advbench.choosing import Chooser, options_for, ready
from advbench.data.batches import Batch, Images, read_batch
from advbench.draws import Draws
from advbench.errors import InputError
from advbench.interfaces import Attack, Attempt
from advbench.judge import Judgement, judge
from advbench.plan import CALIBRATION, Chain, Links, Plan, chosen_images, defense_chains
from advbench.preserve import prepared
from advbench.randomness import DRAWS, JUDGED
from advbench.records import SAMPLE_TYPES, UNDEFENDED, Candidate, Row, Rung, join_samples
from advbench.search import NOTHING_KEPT, Store
from advbench.table import Cell, Heading, rows_of
from advbench.threat import Threat
from advbench.worst import Outcome, still_standing, worst_of


@dataclass(frozen=True)
class Checked:
    """Every clean image went through every defended model and nothing was wrong; the attacks begin.

    Args:
        digests: a digest of each image with its label, by its index.
        work: how many (image, rung) pairs are to come.
        batch_size: how many images are computed at a time.
    """

    digests: Mapping[int, bytes]
    work: int
    batch_size: int


@dataclass(frozen=True)
class RungDone:
    """A batch was judged under one rung of one defense and attack.

    Args:
        defense: the defense.
        attack: the attack.
        rung: the rung.
        samples: the batch's records.
        x_adv: the examples that were judged, `(n, c, h, w)`, one a record; None where nothing was
            attacked, because the clean images were wrong already.
    """

    defense: str
    attack: str
    rung: Rung
    samples: pd.DataFrame
    x_adv: Tensor | None


@dataclass(frozen=True)
class Evaluation:
    """What a run found.

    Args:
        heading: what the table is about.
        samples: one record an image and rung, columns as in `records.SAMPLE_TYPES`.
        digests: a digest of each image with its label, by its index.
        candidates: what a search for substitutes found out about each of them; empty without a search.
    """

    heading: Heading
    samples: pd.DataFrame
    digests: Mapping[int, bytes]
    candidates: tuple[Candidate, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The table, the undefended model first, then the defenses in the order given."""
        return rows_of(self.samples, self.heading)

    @property
    def fingerprint(self) -> str:
        """A hash of the images and labels that were used."""
        return fingerprint(self.digests)


def evaluate(
    model: nn.Module,
    dataset: Images,
    *,
    threat: Threat,
    attacks: Mapping[str, Attack],
    defenses: Mapping[str, Chain] | None = None,
    bpda: bool = True,
    substitute: str | Sequence[str] = (),
    calibration: int = CALIBRATION,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    eot: int = DRAWS,
    judge_draws: int = JUDGED,
    batch_size: int | Literal["auto"] = AUTO,
    names: tuple[str, str] = ("model", "data"),
    begin: Callable[[Checked], pd.DataFrame | None] = lambda _: None,
    notify: Callable[[RungDone], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
    population: Sequence[int] | None = None,
    store: Store = NOTHING_KEPT,
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
        substitute: what stands in for the defenses in the bpda rung: a name, of a chain `a+b`, several to
            choose from, or `search`; by default what each defense lists, and a search where it lists several
            (see `advbench.search`). The best two then attack, the second what the first left.
        calibration: on how many images a search grades the candidates.
        indices: which images of the data set; all of them by default.
        seed: of the images' random streams.
        eot: over how many draws of a random defense an attack takes its gradients and its logits.
        judge_draws: in how many draws of a random defense an example is judged; the majority counts.
        batch_size: images at a time, by default chosen by a probe, and halved where memory runs out; it
            changes memory and speed, not the table.
        names: the model's and the data set's name in the table.
        begin: is told once that the input has proved usable; it may return records of an earlier start
            of the same evaluation, whose images are then not attacked again.
        notify: is given the records of each batch under each rung as they are made. What it raises ends
            the evaluation.
        note: is told in a sentence if memory ran out, and what a search has found.
        population: all images of the run, where `indices` are one process's share of them.
        store: keeps what a search has found and fitted.

    Raises:
        ModelError: a model that breaks its contract on clean images.
        DatasetError: images or labels that cannot be used.
        DefenseError: a place that the network does not have, or a substitute that does not fit.
        RunError: memory that does not suffice for a single image.
    """
    chosen = chosen_images(dataset, indices)
    chains = defense_chains(defenses or {})
    wanted = (substitute,) if isinstance(substitute, str) else tuple(substitute)
    options = {defense: options_for(defense, chain, wanted) for defense, chain in chains.items() if chain}
    images = chosen if population is None else chosen_images(dataset, population)
    plan = Plan(model, dataset, chains, attacks, threat, bpda, seed, eot, judge_draws, images, calibration)
    with torch.inference_mode(False), prepared(*plan.modules()):
        x = read_batch(dataset, chosen[:1]).to(plan.device).x
        at_once = probed_size(plan.judged(UNDEFENDED), x, len(chosen)) if batch_size == AUTO else batch_size
        size = BatchSize(at_once, note, fitting_lanes(model, (), x))
        clean = _clean_pass(plan, chosen, size, ready(chains, options))
        heading = plan.heading(names, clean.doubts)
        rungs = [cell for cell in heading.cells() if cell.rung != "clean"]
        known = begin(Checked(clean.digests, len(chosen) * len(rungs), size.images))
        chooser = Chooser(plan, options, size, store, note)
        stand_ins = {defense: chooser.choose(defense) for defense in options} if bpda else {}
        heading = heading.with_substitutes({defense: each.words for defense, each in stand_ins.items()})
        parts = {Cell(defense, "", "clean"): each for defense, each in clean.samples.items()}
        for cell in rungs:
            done = [_of_cell(known, cell, chosen)]
            through = stand_ins[cell.defense].chains if cell.rung == "bpda" else (chains[cell.defense],)
            for found in _rung(plan, Target(cell, through), clean, done[0]["index"], size):
                notify(found)
                done.append(found.samples)
            # Back into the order of the images, which the attack has left behind.
            parts[cell] = join_samples(done).set_index("index").loc[chosen].reset_index()
    samples = join_samples([parts[cell] for cell in heading.cells()])
    candidates = tuple(each for choice in stand_ins.values() for each in choice.candidates)
    return Evaluation(heading, samples, clean.digests, candidates)


def merge(found: Sequence[Evaluation]) -> Evaluation:
    """One evaluation out of those of disjoint images, by the same attacks on the same model; by index."""
    samples = join_samples([each.samples for each in found]).sort_values("index", kind="stable")
    headings = [each.heading for each in found]
    doubts = {
        defense: tuple(dict.fromkeys(doubt for each in headings for doubt in each.doubts.get(defense, ())))
        for defense in headings[0].substitutes
    }
    heading = headings[0].with_doubts(doubts)
    cells = {cell: number for number, cell in enumerate(heading.cells())}
    order = [cells[Cell(*key)] for key in zip(*(samples[name] for name in Cell._fields), strict=True)]
    samples = samples.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    digests = {key: each for part in found for key, each in part.digests.items()}
    return Evaluation(heading, samples, digests, found[0].candidates)


def fingerprint(digests: Mapping[int, bytes]) -> str:
    """A hash of images and labels, given each one's digest by its index; their order does not matter."""
    return hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).hexdigest()


def image_digests(batch: Batch) -> dict[int, bytes]:
    """A digest of each image with its label, by its index."""
    return {
        int(index): hashlib.blake2b(np.ascontiguousarray(x).tobytes() + y.tobytes(), digest_size=16).digest()
        for index, x, y in zip(batch.indices, batch.x.numpy(), batch.y.numpy(), strict=True)
    }


class Target(NamedTuple):
    """What is attacked on one rung."""

    cell: Cell
    chains: tuple[Links, ...]
    """The defense, with its substitutes on the bpda rung; each attacks what the ones before left standing."""


class _Clean(NamedTuple):
    """What the pass over the clean images found."""

    samples: dict[str, pd.DataFrame]
    doubts: dict[str, tuple[str, ...]]
    digests: dict[int, bytes]


def _clean_pass(plan: Plan, chosen: Sequence[int], size: BatchSize, alone: Mapping[str, Links]) -> _Clean:
    """Judge the clean images behind every defense, and look for what would spoil the run.

    Args:
        plan: the evaluation.
        chosen: the images.
        size: how many at a time.
        alone: the defenses that have a single choice of substitutes, with these in place.
    """
    clean = _Clean({}, {}, {})

    def work(batch: Batch) -> tuple[Batch, dict[str, pd.DataFrame]]:
        if not clean.doubts and plan.bpda:
            for defense, chain in alone.items():
                model = plan.attacked(defense, bpda=True, lanes=size.lanes, chain=chain)
                check_substitutes(model, batch.to(plan.device).x)
        return batch, {
            defense: _judge_clean(plan, defense, batch, size.lanes, clean.doubts) for defense in plan.chains
        }

    parts: dict[str, list[pd.DataFrame]] = {defense: [] for defense in plan.chains}
    for batch, judged in in_batches(plan.dataset, chosen, size, work):
        clean.digests.update(image_digests(batch))
        for defense, samples in judged.items():
            parts[defense].append(samples)
    clean.samples.update({defense: join_samples(each) for defense, each in parts.items()})
    return clean


def _judge_clean(
    plan: Plan, defense: str, batch: Batch, lanes: int, doubts: dict[str, tuple[str, ...]]
) -> pd.DataFrame:
    """Judge clean images behind one defense; the first batch is looked at more closely."""
    model, (_, x, y) = plan.judged(defense, lanes=lanes), batch.to(plan.device)
    logits = checked_logits(model, x, y)
    if defense not in doubts:
        doubts[defense] = tuple(doubts_about(model, x, logits))
        if plan.is_random(defense) and plan.eot == 1:
            doubts[defense] += (_NO_EXPECTATION,)
    drawn = model.sampled(x) if plan.is_random(defense) else logits[None]
    return _samples(Cell(defense, "", "clean"), batch, judge(drawn, x, x, y, plan.threat))


_NO_EXPECTATION = "the defense is random, and was attacked without expectation over its draws (--eot 20)"


def _rung(
    plan: Plan, target: Target, clean: _Clean, done: "pd.Series[int]", size: BatchSize
) -> Iterator[RungDone]:
    """Attack the images that still stand, in full batches; those that do not are written down as they are."""
    cell = target.cell
    todo = clean.samples[cell.defense]
    todo = todo[~todo["index"].isin(done)]

    def attack(batch: Batch) -> RungDone:
        if any(clean.digests[index] != digest for index, digest in image_digests(batch).items()):
            raise InputError("the data set gives other images when read again; switch random transforms off.")
        return _attack(plan, target, batch, size.lanes)

    yield from in_batches(plan.dataset, todo[todo["robust"]]["index"].tolist(), size, attack)
    fallen = todo[~todo["robust"]]
    if len(fallen):
        yield RungDone(*cell, fallen.assign(rung=cell.rung, attack=cell.attack), None)


def _of_cell(known: pd.DataFrame | None, cell: Cell, chosen: Sequence[int]) -> pd.DataFrame:
    """The records that are there already of one rung; none without an earlier start."""
    if known is None:
        return join_samples([])
    mine = known["index"].isin(list(chosen))
    for column, value in cell._asdict().items():
        mine &= known[column] == value
    return known[mine]


def _samples(cell: Cell, batch: Batch, judged: Judgement, attempt: Attempt | None = None) -> pd.DataFrame:
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
        "smallest": torch.where(judged.robust, torch.nan, judged.distance),
        "fooled_share": judged.fooled_share,
    }
    frame = pd.DataFrame({name: each.cpu().numpy() for name, each in columns.items()})
    return frame.assign(rung=cell.rung, defense=cell.defense, attack=cell.attack)[list(SAMPLE_TYPES)]


def _attack(plan: Plan, target: Target, batch: Batch, lanes: int) -> RungDone:
    """Run an attack on one rung with one choice of substitutes after another; each image keeps the worst."""
    outcome = _attack_through(plan, target, 0, batch, lanes)
    for number in range(1, len(target.chains)):
        rows = still_standing(outcome)
        if len(rows) == 0:
            break
        rest = Batch(*(each[torch.from_numpy(rows)] for each in batch))
        outcome = worst_of(outcome, _attack_through(plan, target, number, rest, lanes), rows)
    return RungDone(*target.cell, *outcome)


def _attack_through(plan: Plan, target: Target, number: int, batch: Batch, lanes: int) -> Outcome:
    """Run an attack with one choice of substitutes and judge what it returns by a forward pass of its own."""
    (indices, x, y), cell = batch.to(plan.device), target.cell
    model = plan.attacked(
        cell.defense,
        bpda=cell.rung == "bpda",
        lanes=lanes,
        stream=f"{cell.rung}/{cell.attack}",
        chain=target.chains[number],
    )
    draws = Draws(plan.seed, indices).stream(cell.rung)
    if number > 0:  # the first choice attacks as it would alone
        draws = draws.stream(f"choice {number}")
    attempt = plan.attacks[cell.attack](model, x, y, plan.threat, draws)
    passes = len(model.draws())
    attempt = attempt._replace(steps=passes * attempt.steps, queries=passes * attempt.queries)
    found = attempt.x_adv.detach()
    x_adv = plan.threat.project(found, x)
    judged, smallest = _judge_found(plan, cell.defense, lanes, (found, x_adv, x, y))
    samples = _samples(cell, batch, judged, attempt).assign(smallest=smallest.double().cpu().numpy())
    return Outcome(samples, x_adv)


@torch.no_grad()
def _judge_found(
    plan: Plan, defense: str, lanes: int, images: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Judgement, Tensor]:
    """Judge the examples in the ball, and those that an attack for the smallest perturbation found outside.

    Args:
        plan: who judges.
        defense: behind which defense.
        lanes: see `DefendedModel`.
        images: what was found, the same in the ball, clean images, and labels.

    Returns:
        The judgement, and the norms of the smallest perturbations known to fool, NaN where none is.
    """
    found, x_adv, x, y = images
    model = plan.judged(defense, lanes=lanes)
    judged = judge(model.sampled(x_adv), x_adv, x, y, plan.threat)
    smallest = torch.where(judged.robust, torch.nan, judged.distance)
    wide = replace(plan.threat, eps=1.0 if plan.threat.norm == "linf" else float(x[0].numel()))
    outside = (judged.robust & ~plan.threat.contains(found, x) & wide.contains(found, x)).nonzero().flatten()
    if len(outside):
        far, near = found[outside], x[outside]
        at_any_size = judge(model.sampled(far), far, near, y[outside], wide)
        smallest[outside] = torch.where(at_any_size.robust, torch.nan, at_any_size.distance)
    return judged, smallest
