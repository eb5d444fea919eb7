"""Adversarial examples judged again, without any attack: what a run claims against what they do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, Images, read_batch
from advbench.defended.adaptation import Adaptation, adaptation_in
from advbench.defended.left_as_found import prepared
from advbench.defended.model import Answers, DefendedModel, Placement
from advbench.evaluation.judge_batches_again import fitting_examples, in_declared_batches
from advbench.evaluation.plan import judged_model
from advbench.names.grammar import INPUT
from advbench.results.judging import Judge, judge_of
from advbench.results.records import REFUSED, SAMPLE_TYPES
from advbench.results.table import Cell, Heading
from advbench.runs.examples import Examples
from advbench.speed.batch_size import BatchSize, fitting_lanes, in_batches, only_size
from advbench.threat.judge import Vote, fooled, mean_loss, predictions_of, vote
from advbench.threat.threat import ROUNDING, Threat

UNMOVED = [name for name in SAMPLE_TYPES if name not in ("index", "rung", "attack")]
"""What the records of an image that was wrong already when clean say on every rung."""

Kept = Literal["all", "successful"]
Flags = npt.NDArray[np.bool_]

_TIE = 1e-4
"""How far, relative to the largest logit, another machine's rounding may bring two classes' logits."""

_DRAWS_OFF = 2.5
"""How many draws of a random defense, all but a half, another machine's rounding may turn."""

_HALF = 0.5

_DISTANCE = 1e-5
"""How far, relative to the radius, another machine's rounding may move a distance."""


LOSS_ELSEWHERE: Final = 1e-4
"""How far, relative to the largest logit, another machine's rounding may move a loss."""

LOSS_HERE: Final = 2e-6
"""And how far that of the same machine, with the same versions, may, in other batches or threads."""


@dataclass
class Finding:
    """What there is to say about one rung.

    Args:
        cell: defense, attack and rung.
        images: records of it.
        examples: examples that were judged, or clean images on the clean rung.
        fooling: how many of the examples fool the defended model.
        by_rounding: how many are predicted as recorded only up to rounding.
        refused: how many a detector refuses.
        as_8bit: how many still fool it as 8-bit images; None if that was not asked.
        faults: indices of the images that something is wrong with, by what it is.
    """

    cell: Cell
    images: int = 0
    examples: int = 0
    fooling: int = 0
    by_rounding: int = 0
    refused: int = 0
    as_8bit: int | None = None
    faults: dict[str, list[int]] = field(default_factory=dict)

    def blame(self, fault: str, indices: npt.NDArray[np.int64], wrong: Flags) -> None:
        """Note the images that something is wrong with."""
        if wrong.any():
            self.faults.setdefault(fault, []).extend(indices[wrong].tolist())


class Evidence(NamedTuple):
    """A run's claims, and what they are checked with."""

    model: nn.Module
    dataset: Images
    chains: Mapping[str, tuple[Placement, ...]]
    threat: Threat
    heading: Heading
    samples: pd.DataFrame
    kept: Kept
    batch_size: int
    seed: int
    judge_draws: int | Judge
    loss_room: float = LOSS_ELSEWHERE
    """How far a loss may be off, relative to the largest logit."""
    order: Sequence[int] = ()
    """The images in the order of the run; declared batches are parts of it."""

    def adaptation(self, cell: Cell) -> Adaptation | None:
        """How the model of a row adapts; None where it does not."""
        return adaptation_in(self.chains[cell.defense])

    @property
    def judge(self) -> Judge:
        """How random defenses were judged."""
        return judge_of(self.judge_draws)


class _Judged(NamedTuple):
    """A defended model, and the rule by which its draws count."""

    model: DefendedModel
    rule: Judge
    clean: bool = False


def recheck(evidence: Evidence, examples: Iterable[Examples], *, as_8bit: bool = False) -> list[Finding]:
    """Check every rung of a run: the clean predictions, and each example's ball, box and prediction.

    Args:
        evidence: the claims, and the model, images and defenses that they are about.
        examples: what the run has kept, in any order.
        as_8bit: whether to judge the examples also after rounding to 8-bit images.

    Returns:
        A finding a rung, in the order of the table.
    """
    cells = evidence.heading.cells()
    findings = {cell: Finding(cell, as_8bit=0 if as_8bit and cell.attack else None) for cell in cells}
    records = {cell: _records(evidence.samples, cell) for cell in cells}
    links = [placement for chain in evidence.chains.values() for placement in chain]
    modules = [module for link in links for module in link.modules]
    seen: dict[Cell, list[int]] = {cell: [] for cell in cells}
    with torch.inference_mode(False), torch.no_grad(), prepared(evidence.model, *modules):
        for cell in cells:
            findings[cell].images = len(records[cell])
            if cell.rung == "clean":
                _check_clean(evidence, records[cell], findings[cell])
        together: dict[Cell, list[tuple[Tensor, Tensor]]] = {}
        for batch in examples:
            if batch.cell in findings:
                seen[batch.cell].extend(batch.indices.tolist())
                if evidence.adaptation(batch.cell) is not None:
                    together.setdefault(batch.cell, []).append((batch.indices, batch.x_adv))
                    continue
                judged = _defended(evidence, batch.cell.defense, evidence.judge)
                _check_examples(evidence, batch, records[batch.cell], findings[batch.cell], judged)
        for cell, kept in together.items():
            _check_declared(evidence, kept, records[cell], findings[cell])
    for cell in cells:
        if cell.rung != "clean":
            clean = records[Cell(cell.defense, "", "clean")]
            _check_complete(evidence.kept, records[cell], clean, seen[cell], findings[cell])
    return list(findings.values())


def _records(samples: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    return cell.records(samples).set_index("index")


def _check_clean(evidence: Evidence, records: pd.DataFrame, finding: Finding) -> None:
    """The model's answers on clean images, which decide what was attacked at all."""

    def work(batch: Batch) -> None:
        indices, batch_records = batch.indices.numpy(), records.loc[batch.indices.numpy()]
        _check_prediction(judged, batch.x.to(_device(evidence.model)), batch_records, finding, room)
        wrong = batch_records["label"].to_numpy() != batch.y.numpy()
        finding.blame("another label than the data set's", indices, wrong)
        right = batch_records["prediction"].to_numpy() == batch_records["label"].to_numpy()
        finding.blame("counted other than predicted", indices, batch_records["robust"].to_numpy() != right)
        finding.examples += len(indices)

    judged = _defended(evidence, finding.cell.defense, evidence.judge.of_clean)._replace(clean=True)
    room = evidence.loss_room
    adaptation = evidence.adaptation(finding.cell)
    if adaptation is not None:
        model = judged.model
        for again in in_declared_batches(model, evidence.dataset, evidence.order, adaptation):
            judged = judged._replace(model=again.model)
            work(read_batch(evidence.dataset, again.indices))
        return
    size = BatchSize(evidence.batch_size, lambda _: None)
    for _ in in_batches(evidence.dataset, records.index.tolist(), size, work):
        pass


def _check_declared(
    evidence: Evidence, kept: Sequence[tuple[Tensor, Tensor]], records: pd.DataFrame, finding: Finding
) -> None:
    """The examples of a model that adapts, in the batches that the run declares."""
    judged, adaptation = (
        _defended(evidence, finding.cell.defense, evidence.judge),
        evidence.adaptation(finding.cell),
    )
    assert adaptation is not None
    examples, strange = fitting_examples(kept, evidence.dataset, evidence.order)
    finding.blame("no record of the example", np.array(strange, np.int64), np.ones(len(strange), bool))
    for again in in_declared_batches(judged.model, evidence.dataset, evidence.order, adaptation, examples):
        indices = torch.tensor(again.indices)
        x_adv = torch.stack([examples[index] for index in again.indices])
        part = Examples(finding.cell, indices, x_adv)
        _check_examples(evidence, part, records, finding, judged._replace(model=again.model))


def _check_examples(
    evidence: Evidence,
    kept_examples: Examples,
    records: pd.DataFrame,
    finding: Finding,
    judged: _Judged,
) -> None:
    """The examples of one batch, judged together as they were by the run."""
    known = np.isin(kept_examples.indices.numpy(), records.index)
    finding.blame("no record of the example", kept_examples.indices.numpy(), ~known)
    rows = {int(index): row for row, index in enumerate(kept_examples.indices) if known[row]}

    def work(batch: Batch) -> None:
        x_adv = kept_examples.x_adv[[rows[int(index)] for index in batch.indices]]
        indices, batch_records = batch.indices.numpy(), records.loc[batch.indices.numpy()]
        if x_adv.shape != batch.x.shape:
            finding.blame("another shape than the image's", indices, np.ones(len(indices), bool))
            return
        on_device = x_adv.to(_device(evidence.model))
        survive = np.zeros(len(indices), dtype=bool)
        if finding.as_8bit is not None:
            survive = fooled(
                _vote(judged, judged.model.answers((on_device * 255.0).round() / 255.0), batch.y).prediction,
                batch.y,
            ).numpy()
        fools = _check_prediction(judged, on_device, batch_records, finding, evidence.loss_room)
        fools &= _check_geometry(evidence.threat, x_adv, batch, batch_records, finding)
        finding.blame("counted other than judged", indices, batch_records["robust"].to_numpy() == fools)
        finding.examples += len(indices)
        finding.fooling += int(fools.sum())
        if finding.as_8bit is not None:
            finding.as_8bit += int((survive & fools).sum())

    for _ in in_batches(evidence.dataset, list(rows), BatchSize(max(1, len(rows)), lambda _: None), work):
        pass


def _check_geometry(
    threat: Threat, x_adv: Tensor, batch: Batch, records: pd.DataFrame, finding: Finding
) -> Flags:
    """Box, ball and distance, `(n,)`: whether each example was allowed."""
    indices = batch.indices.numpy()
    in_box = ((x_adv >= 0.0) & (x_adv <= 1.0)).flatten(1).all(1).numpy()
    distance = threat.distance(x_adv, batch.x).double().numpy()
    contained: Flags = threat.contains(x_adv, batch.x).numpy()
    finding.blame("outside [0, 1]", indices, ~in_box)
    finding.blame("outside the ball", indices, in_box & ~contained)
    moved = np.abs(distance - records["distance"].to_numpy()) > _DISTANCE * threat.eps + ROUNDING
    finding.blame("another distance than recorded", indices, in_box & contained & moved)
    known = records["smallest"].to_numpy()
    allowed = np.where(records["robust"], np.isnan(known) | (known >= 0.0), known == records["distance"])
    finding.blame("another smallest perturbation than it can have", indices, ~allowed)
    return contained


def _check_prediction(
    judged: _Judged, x: Tensor, records: pd.DataFrame, finding: Finding, room: float
) -> Flags:
    """Whether the defended model says what was recorded; returns who is fooled by the record, `(n,)`.

    Where it does not, the recorded class must be within rounding of the predicted one: in the batch, or
    with the image alone (a quantiser inside the network makes a whole step of the last bit); behind a random
    defense a draw or two may have come out otherwise, and no more turn an image from standing to fallen.
    """
    model = judged.model
    recorded, labels = torch.from_numpy(records[["prediction", "label"]].to_numpy(copy=True)).unbind(1)
    answers = model.answers(x)
    vote_again = _vote(judged, answers, labels)
    share = torch.from_numpy(records["fooled_share"].to_numpy(copy=True))
    off = (vote_again.fooled_share.double() - share).abs()
    far = off > (_DRAWS_OFF / min(judged.rule.draws, model.sampling.count) if model.is_random else 0.0)
    wrong = (vote_again.prediction != recorded) | (off > 0.0)
    fell = recorded != labels if judged.clean else fooled(recorded, labels)
    excused = wrong & ~far & ((fell == vote_again.fooled) | _near(judged.rule, vote_again))
    if not model.is_random:
        excused = _excused(model, x, recorded, wrong)
        split = share != fell
        finding.blame("a part of draws, and nothing is random", records.index.to_numpy(), split.numpy())
    finding.by_rounding += int(excused.sum())
    finding.refused += int((vote_again.prediction == REFUSED).sum())
    other = _other_losses(judged, (x, labels), answers.logits, records, room)
    finding.blame("another loss than recorded", records.index.to_numpy(), (other & ~wrong).numpy())
    finding.blame("another prediction than recorded", records.index.to_numpy(), (wrong & ~excused).numpy())
    fools: Flags = fooled(torch.where(wrong & ~excused, vote_again.prediction, recorded), labels).numpy()
    return fools


def _near(rule: Judge, vote_again: Vote) -> Tensor:
    """Whether so few draws decide that another machine's rounding may have turned them, `(n,)` bool."""
    if rule.kind == "any":
        return vote_again.wrong <= _DRAWS_OFF
    return (vote_again.fooled_share - _HALF).abs() * rule.draws <= _DRAWS_OFF


def _other_losses(
    judged: _Judged, batch: tuple[Tensor, Tensor], logits: Tensor, records: pd.DataFrame, room: float
) -> Tensor:
    """Whose loss is none that rounding may have brought, `(n,)` bool; alone in a batch it may be another one.

    A quantiser inside the network or behind it makes whole steps of the last bit: there losses tell nothing.
    """
    (x, labels), recorded = batch, torch.from_numpy(records["loss"].to_numpy(copy=True))
    if any(place != INPUT for place in judged.model.places):
        return torch.zeros_like(recorded, dtype=torch.bool)
    draws = judged.rule.draws
    other = _is_off(logits[:draws], labels, recorded, room)
    for row in other.nonzero().flatten().tolist():
        alone = judged.model.alone(x, row)
        other[row] = bool(_is_off(alone[:draws], labels[row : row + 1], recorded[row : row + 1], room))
    return other


def _is_off(logits: Tensor, labels: Tensor, recorded: Tensor, relative: float) -> Tensor:
    """Whether losses, by the logits of all draws `(draws, n, k)`, are others than recorded, `(n,)`."""
    loss = mean_loss(logits.cpu(), labels).double()
    room = ROUNDING + relative * logits.abs().amax((0, 2)).cpu().double()
    same = (loss == recorded) | (loss.isnan() & recorded.isnan())
    return ~same & ~((loss - recorded).abs() <= room)


def _vote(judged: _Judged, answers: Answers, y: Tensor) -> Vote:
    """What the judge says of images, as the run's did."""
    rule = judged.rule if judged.model.is_random else None
    return vote(predictions_of(*answers).cpu(), y.cpu(), rule, clean=judged.clean)


def _excused(model: DefendedModel, x: Tensor, recorded: Tensor, wrong: Tensor) -> Tensor:
    """Which of the wrong predictions rounding may explain, `(n,)` bool."""
    excused = wrong.clone()
    seen = model.with_scores()
    if bool(wrong.any()):
        outputs = seen(x).cpu()
    for row in wrong.nonzero().flatten().tolist():
        alone = seen.alone(x, row).mean(0).cpu()
        excused[row] = any(_may_be(model, output, int(recorded[row])) for output in (outputs[row], alone[0]))
    return excused


def _may_be(model: DefendedModel, output: Tensor, recorded: int) -> bool:
    """Whether logits and scores `(k + detectors,)` are within rounding of those that were recorded."""
    k = len(output) - len(model.detectors)
    beyond = [
        detector.settled.excess(score)
        for detector, score in zip(model.detectors.values(), output[k:], strict=True)
        if detector.settled is not None
    ]
    if recorded == REFUSED:
        return any(bool(excess > -_TIE) for excess in beyond)
    accepted = all(bool(excess <= _TIE) for excess in beyond)
    return accepted and _ties(output[:k], recorded)


def _ties(logits: Tensor, recorded: int) -> bool:
    if not 0 <= recorded < len(logits) or not bool(logits.isfinite().all()):
        return False
    return float(logits.max() - logits[recorded]) <= _TIE * float(logits.abs().max())


def _check_complete(
    kept: Kept, records: pd.DataFrame, clean: pd.DataFrame, seen: list[int], finding: Finding
) -> None:
    """Every image that the attack is said to have felled needs its example, and no other may have fallen."""
    index = records.index.to_numpy(dtype=np.int64)
    right = clean["robust"].reindex(index, fill_value=False).to_numpy(dtype=bool)
    fallen = ~records["robust"].to_numpy(dtype=bool)
    finding.blame("wrong already when clean, and yet counted as robust", index, ~right & ~fallen)
    unmoved = clean.reindex(index)
    for name in UNMOVED:
        one, other = records[name], unmoved[name]
        same = ((one == other) | (one.isna() & other.isna())).to_numpy(dtype=bool)
        finding.blame(f"wrong already when clean, with another {name} than then", index, ~right & ~same)
    needed = right & (fallen | (kept == "all"))
    finding.blame("no example of it was kept", index, needed & ~np.isin(index, seen))
    distinct, times = np.unique(np.asarray(seen, dtype=np.int64), return_counts=True)
    finding.blame("more than one example", distinct, times > 1)


def _defended(evidence: Evidence, defense: str, rule: Judge) -> _Judged:
    """The model behind a defense, computing as the run did."""
    x = read_batch(evidence.dataset, [0]).x.to(_device(evidence.model))
    lanes = fitting_lanes(evidence.model, (), x)
    only = only_size(evidence.model, x, evidence.batch_size) if lanes == 1 else 0
    size = BatchSize(only, lanes=only) if only else BatchSize(lanes=lanes)
    return _Judged(judged_model(evidence.model, evidence.chains[defense], evidence.seed, rule, size), rule)


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
