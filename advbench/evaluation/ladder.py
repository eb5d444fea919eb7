"""The harness: every rung on the same images, judged afresh, one record an image and rung."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from advbench.data.batches import Batch, Images, check_mapstyle, read_batch
from advbench.defended.left_as_found import in_full_precision, prepared
from advbench.defended.own_precision import in_own_precision, keeps_precision, own_precision
from advbench.defended.surrogate import NO_STAND_INS, StandIns
from advbench.draws.sampling import DRAWS
from advbench.errors import InputError
from advbench.evaluation.attack_batch import RungDone, Target, attacked, replayed
from advbench.evaluation.choose_substitutes import Options, options_for, ready
from advbench.evaluation.clean_pass import Clean, check_unchanged, clean_pass, fingerprint
from advbench.evaluation.declared_batches import declared_rung
from advbench.evaluation.faster_plan import at_speed
from advbench.evaluation.observer import UNOBSERVED, Checked, Observer
from advbench.evaluation.plan import CALIBRATION, Chain, Plan, chosen_images, defense_chains
from advbench.evaluation.random_networks import note_what_is_random
from advbench.evaluation.search_substitutes import Choice
from advbench.evaluation.settle_detectors import Looks, bound, settled
from advbench.evaluation.soft_steps import note_steps
from advbench.evaluation.stand_ins import chosen_substitutes, doubts_with, indicators_of, widened
from advbench.evaluation.surrogates import check_stand_ins, settled_surrogate
from advbench.evaluation.transfer import all_from_elsewhere
from advbench.results.indicators import TESTS, Test, added
from advbench.results.judging import JUDGED, Judge
from advbench.results.records import UNDEFENDED, Candidate, Row, Rung, join_samples
from advbench.results.shown import added_up
from advbench.results.table import Cell, Heading, rows_of
from advbench.speed.batch_size import AUTO, in_batches
from advbench.speed.working_copy import FAST, Copies
from advbench.threat.attack import Attack, is_chunked
from advbench.threat.threat import Threat


@dataclass(frozen=True)
class Evaluation:
    """What a run found.

    Args:
        heading: what the table is about.
        samples: one record an image and rung, columns as in `records.SAMPLE_TYPES`.
        digests: a digest of each image with its label, by its index.
        candidates: what a search for substitutes found out about each of them; empty without a search.
        shown: how many images the model was shown, by purpose (`counting.PURPOSES`).
    """

    heading: Heading
    samples: pd.DataFrame
    digests: Mapping[int, bytes]
    candidates: tuple[Candidate, ...] = ()
    shown: Mapping[str, int] = field(default_factory=dict)

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
    rungs: Sequence[Rung | Test] = ("bpda",),
    gradient_free: Mapping[str, Attack] = MappingProxyType({}),
    label_only: Mapping[str, Attack] = MappingProxyType({}),
    substitute: str | Sequence[str] = (),
    calibration: int = CALIBRATION,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    eot: int = DRAWS,
    judge_draws: int | Judge = JUDGED,
    batch_size: int | Literal["auto"] = AUTO,
    fast: bool = True,
    copies: Copies = FAST,
    stand_ins: StandIns = NO_STAND_INS,
    observer: Observer = UNOBSERVED,
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
        rungs: what to run beside the clean and the shattered rung: `records.ASKABLE` is all there is. On the
            static rung each defense is shown the examples that the same attack made on the undefended model;
            worst counts the images that stand on every rung that is run. `binarization` beside `worst` also
            tests the attacks (`advbench.evaluation.binarization`).
        gradient_free: the attack of the gradient-free rung by its name, for all rows of a defense.
        label_only: likewise of the label-only rung, which is run where it is named.
        substitute: what stands in for the defenses in the bpda rung: a name, of a chain `a+b`, several to
            choose from, or `search`; by default what each defense lists, and a search where it lists several
            (see `advbench.evaluation.search_substitutes`). The best two then attack, the second what the
            first left.
        calibration: on how many images a search grades the candidates.
        indices: which images of the data set; all of them by default.
        seed: of the images' random streams.
        eot: over how many draws of a random defense an attack takes its gradients and its logits.
        judge_draws: in how many draws of a random defense an example is judged by their majority, or another
            rule: `Judge("any:10")`.
        batch_size: images at a time, by default chosen by a probe, and halved where memory runs out; it
            changes memory and speed, not the table.
        fast: `False` is short for `copies=Copies(fast=False)`: attacks differentiate the model itself.
        copies: which copies of the model attacks may differentiate in its place: one with BatchNorm folded
            and faster memory, one in bfloat16, compiled ones. The judge always sees the model itself in
            float32, and images that an attack in bfloat16 has not felled are attacked again in float32.
        stand_ins: what is differentiated in place of the model, and what static examples are made on.
        observer: the run that the evaluation belongs to: names, what is found as it is found, and what an
            earlier start has found. What it raises ends the evaluation.

    Raises:
        InputError: an argument that cannot be used.
        ModelError: a model that breaks its contract on clean images.
        DatasetError: images or labels that cannot be used.
        DefenseError: a place that the network does not have, or a substitute that does not fit.
        RunError: memory that does not suffice for a single image.
    """
    if batch_size != AUTO and batch_size < 1:
        raise InputError(f"batch_size must be {AUTO!r} or a whole number of at least 1, got {batch_size!r}.")
    check_mapstyle(dataset)
    chosen = chosen_images(dataset, indices)
    model = _with_images_in_float32(model, dataset, chosen)
    chains = bound(model, defense_chains(defenses or {}))
    if not isinstance(copies, Copies):
        raise InputError(f"copies must be Copies(...), got {copies!r:.60}; fast=False makes none.")
    wanted_rungs, wanted = _texts(rungs), _texts(substitute)
    options = {defense: options_for(defense, chain, wanted) for defense, chain in chains.items() if chain}
    population = observer.population
    plan = Plan(
        model=model,
        dataset=dataset,
        chains=chains,
        attacks=attacks,
        threat=threat,
        rungs=("shattered", *(rung for rung in wanted_rungs if rung not in TESTS)),
        tests=tuple(test for test in TESTS if test in wanted_rungs),
        seed=seed,
        eot=eot,
        judge_draws=judge_draws,
        images=chosen if population is None else chosen_images(dataset, population),
        calibrate_on=calibration,
        gradient_free=gradient_free,
        label_only=label_only,
        surrogate=stand_ins.named[0],
        source=stand_ins.named[1],
        without_static=stand_ins.without_static,
    )
    with torch.inference_mode(False), in_full_precision(), prepared(*plan.modules()):
        adapts = any(plan.adaptation(defense) is not None for defense in chains)
        if adapts and stand_ins != NO_STAND_INS:
            raise InputError("a surrogate and a source do not go together with a model that adapts.")
        if adapts and keeps_precision(model):
            raise InputError("a model that adapts is computed in float32: call model.float().")
        wanted_copies = Copies(fast=False) if adapts else copies if fast else replace(copies, fast=False)
        at_its_speed = at_speed(plan.counted(), chosen, batch_size, wanted_copies, observer.note)
        return _climb(at_its_speed, chosen, options, observer)


def _with_images_in_float32(model: nn.Module, dataset: Images, chosen: Sequence[int]) -> nn.Module:
    """The model; one in another precision takes and gives float32 at its ends."""
    known: object = model  # whatever a caller has in its place; the plan says so better
    if not isinstance(known, nn.Module) or not own_precision(model) or keeps_precision(model):
        return model
    with torch.inference_mode(False), in_full_precision():
        device = next(model.parameters()).device
        return in_own_precision(model, read_batch(dataset, chosen[:1]).to(device).x)


def _texts(given: str | Sequence[str]) -> tuple[Any, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _climb(
    plan: Plan, chosen: Sequence[int], options: Mapping[str, Options], observer: Observer
) -> Evaluation:
    """Attack the chosen images on every rung of a plan.

    Args:
        plan: the evaluation.
        chosen: the images of this process.
        options: what may stand in for each defense.
        observer: the run that the evaluation belongs to.
    """
    detectors = settled(_looks(plan), plan.chains)
    plan = replace(plan, chains=detectors.chains)
    refusing = ", ".join(defense for defense in plan.chains if plan.refuses(defense))
    if refusing and plan.tests:
        observer.note(f"the binarization test leaves out what may refuse an image: {refusing}")
    if refusing and plan.rough is not None:
        observer.note(f"in float32 alone, as bfloat16 knows nothing of what may refuse an image: {refusing}")
    with plan.shown.counted_as("probe"):
        note_what_is_random(plan, observer.note)
        note_steps(plan, observer.note)
    with plan.shown.counted_as("search"):
        options = widened(plan, options)
    clean = clean_pass(plan, chosen, ready(plan.chains, options))
    for defense, doubts in detectors.doubts.items():
        clean.doubts[defense] += doubts
    with plan.shown.counted_as("search"):
        check_stand_ins(plan)
    heading = plan.heading(observer.names, clean.doubts).with_detectors(detectors.detecting)
    cells = [cell for cell in heading.cells() if cell.rung != "clean"]
    work, answers = len(chosen) * len(cells), clean.samples[UNDEFENDED]
    known = observer.begin(Checked(clean.digests, work, plan.size.images, answers, plan.shown))
    plan, heading, undefended = _with_surrogate(plan, heading, observer)
    stand_ins = undefended | chosen_substitutes(plan, options, observer)
    heading = heading.with_substitutes({defense: choice.words for defense, choice in stand_ins.items()})
    heading = heading.with_doubts(doubts_with(clean.doubts, stand_ins))
    parts = {cell: [_of_cell(known, cell, chosen)] for cell in cells}
    if plan.transfers_from is not None:
        for rung_done in all_from_elsewhere(plan, clean.samples, parts, partial(check_unchanged, clean)):
            observer.keep(rung_done)
            parts[rung_done.cell].append(rung_done.samples)
    for cell in cells:
        if cell.rung == "static" and plan.adaptation(cell.defense) is None:
            continue  # it is done with the attack on the undefended model, or elsewhere
        through = stand_ins[cell.defense].chains if cell.rung == "bpda" else (plan.chains[cell.defense],)
        shared = [other for other in cells if plan.adaptation(other.defense) is None]
        shown_to = {} if plan.transfers_from is not None else _replayed(cell, shared, clean)
        target = Target(cell, through, shown_to)
        done = {replayed: set(parts[replayed][0]["index"]) for replayed in (cell, *target.replayed)}
        for rung_done in _rung(plan, target, clean, done):
            observer.keep(rung_done)
            parts[rung_done.cell].append(rung_done.samples)
    # Back into the order of the images, which the attacks have left behind.
    whole = {cell: _ordered(join_samples(records), chosen) for cell, records in parts.items()}
    whole |= {Cell(defense, "", "clean"): records for defense, records in clean.samples.items()}
    if "worst" in plan.rungs:
        with plan.shown.counted_as("indicators"):
            heading = heading.with_indicators(indicators_of(plan, stand_ins, whole, chosen))
    samples = join_samples([whole[cell] for cell in heading.cells()])
    candidates = tuple(candidate for choice in stand_ins.values() for candidate in choice.candidates)
    return Evaluation(heading, samples, clean.digests, candidates, added_up([plan.shown.images]))


def _with_surrogate(
    plan: Plan, heading: Heading, observer: Observer
) -> tuple[Plan, Heading, dict[str, Choice]]:
    """The plan with its surrogate settled, what the table says of it, and what it makes of the row `none`."""
    if plan.surrogate is None:
        return plan, heading, {}
    with plan.shown.counted_as("search"):
        plan, likeness, choice = settled_surrogate(plan, observer, observer.note)
    return plan, replace(heading, surrogate=likeness), {UNDEFENDED: choice}


def _looks(plan: Plan) -> Looks:
    """On what the detectors of a plan are settled."""
    return Looks(model=plan.model, dataset=plan.dataset, images=plan.images, seed=plan.seed, size=plan.size)


def _ordered(samples: pd.DataFrame, chosen: Sequence[int]) -> pd.DataFrame:
    return samples.set_index("index").loc[list(chosen)].reset_index()


def merge(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation out of those of disjoint images, by the same attacks on the same model; by index."""
    samples = join_samples([part.samples for part in evaluations]).sort_values("index", kind="stable")
    headings = [part.heading for part in evaluations]
    doubts = {
        defense: tuple(
            dict.fromkeys(doubt for heading in headings for doubt in heading.doubts.get(defense, ()))
        )
        for defense in headings[0].substitutes
    }
    heading = headings[0].with_doubts(doubts)
    heading = heading.with_indicators(
        added([indicator for other in headings for indicator in other.indicators])
    )
    cells = {cell: number for number, cell in enumerate(heading.cells())}
    order = [cells[Cell(*key)] for key in zip(*(samples[name] for name in Cell._fields), strict=True)]
    samples = samples.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    digests = {key: digest for part in evaluations for key, digest in part.digests.items()}
    shown = added_up([part.shown for part in evaluations])
    return Evaluation(heading, samples, digests, evaluations[0].candidates, shown)


def _replayed(cell: Cell, cells: Sequence[Cell], clean: Clean) -> dict[Cell, set[int]]:
    """The static rungs that show a rung's examples to other defenses, each with the images that it knows."""
    if cell.defense != UNDEFENDED or cell.rung != "shattered":
        return {}
    return {
        other: set(known[known["robust"]]["index"])
        for other in cells
        if other.rung == "static" and other.attack == cell.attack
        for known in [clean.samples[other.defense]]
    }


def _rung(plan: Plan, target: Target, clean: Clean, done: Mapping[Cell, set[int]]) -> Iterator[RungDone]:
    """Attack the images that still stand, in full batches; those that do not are written down as they are.

    Args:
        plan: the evaluation.
        target: what is attacked, and which rungs replay it.
        clean: what is known of the clean images.
        done: the images of each of these rungs that an earlier start has done.
    """
    own = clean.samples[target.cell.defense]
    todo = set(own[own["robust"]]["index"]) - {
        index for index in own["index"] if all(index in indices for indices in done.values())
    }
    if plan.lacks_gradient(target.cell):
        own, todo = own.assign(flat_gradient=own["robust"]), set()

    def attack(batch: Batch) -> list[RungDone]:
        check_unchanged(clean, batch)
        rung_done = attacked(plan, target, batch)
        assert rung_done.x_adv is not None
        return [rung_done, *replayed(plan, target, batch, rung_done.x_adv)]

    if plan.adaptation(target.cell.defense) is not None:
        yield from declared_rung(plan, target, own, done[target.cell], partial(check_unchanged, clean))
        return
    if plan.refuses(target.cell.defense):  # images of one label go together
        own = own.sort_values("label", kind="stable")
    images = [index for index in own["index"] if index in todo]
    growing = is_chunked(plan.attack_of(target.cell))
    for outcomes in in_batches(plan.dataset, images, plan.size, attack, growing=growing):
        yield from (new for part in outcomes if len((new := part.without(done[part.cell])).samples))
    for cell, known in done.items():
        own = own if cell == target.cell else clean.samples[cell.defense]
        rest = own[~(own["robust"] & own["index"].isin(todo)) & ~own["index"].isin(known)]
        if len(rest):
            yield RungDone(cell, rest.assign(rung=cell.rung, attack=cell.attack), None)


def _of_cell(known: pd.DataFrame | None, cell: Cell, chosen: Sequence[int]) -> pd.DataFrame:
    """The records that are there already of one rung; none without an earlier start."""
    if known is None:
        return join_samples([])
    records = cell.records(known)
    return records[records["index"].isin(list(chosen))]
