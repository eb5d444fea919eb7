"""One `advbench attack`, from its words to its files."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

import pandas as pd
from rich.console import Console

from advbench.cli.aside import say_aside
from advbench.cli.assemble import Job, assemble
from advbench.cli.carrying import Carried
from advbench.cli.describe import announcement, manifest_of
from advbench.cli.formats import HTML, formats_of
from advbench.cli.keeper import Keeper
from advbench.cli.order_check import check_order_of_run
from advbench.cli.progress import RunProgress
from advbench.cli.ranks import Ranks, join_ranks
from advbench.cli.refusals import refusals
from advbench.cli.report_page import write_page
from advbench.cli.stopping import asked_to_stop
from advbench.cli.voice import one_voice
from advbench.defended.counting import looks_counted
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.ladder import Evaluation, evaluate
from advbench.evaluation.observer import Checked
from advbench.jobs.settings.run import RunSettings
from advbench.reports import print_table, render
from advbench.reports.formats import FILE_NAMES, Format
from advbench.runs.folder import check_free
from advbench.speed.working_copy import Copies

_NEAR_CHANCE = 1.5


def run(options: RunSettings) -> None:
    """Do what the options say; where several processes share the run, one speaks for all.

    Nothing is written, and nothing but an error said, before every input has proved usable: the
    checkpoint, the places of the defenses, the images, and the model on every clean image.
    """
    ranks = join_ranks()
    with one_voice(ranks):
        refused = refusals(options.fail_on, options.min_robust)
        done = perform(options, ranks)
        if done is not None:
            _show(done, options)
            done.note(f"written to {done.folder}")
            refused.check(done.found.rows)


class Done(NamedTuple):
    """A run that came to its end: what it found, where that comes from, its folder, and how to add a word."""

    found: Evaluation
    origin: Mapping[str, str]
    folder: Path
    note: Callable[[str], None]


def perform(
    options: RunSettings, ranks: Ranks, *, part: str = "", carried: Carried | None = None
) -> Done | None:
    """Run into a folder, and leave its results to be shown; None where another process has them.

    Args:
        options: what to do.
        ranks: the processes that share the run.
        part: which part of a larger whole the run is, in a word or two.
        carried: what has fallen at smaller radii, and is not attacked again.

    Raises:
        AdvbenchError: whatever ended the run.
        KeyboardInterrupt: it was asked to stop.
    """
    asked = formats_of(options.formats, [*FILE_NAMES, HTML])
    formats = [cast("Format", each) for each in asked if each != HTML]
    job = assemble(options, ranks)
    manifest = manifest_of(options, job, ranks)
    if carried is not None:
        manifest["settings"]["carried_from"] = [each.name for each in carried.felled]
    if options.out is not None and ranks.leads:
        check_free(options.out, manifest, overwrite=options.overwrite)
    with (
        RunProgress(
            Console(stderr=True), announcement(job), ranks, quiet=options.quiet, part=part
        ) as progress,
        asked_to_stop(progress.note) as stopping,
    ):

        def idle() -> None:
            stopping.check()
            progress.follow()

        for remark in job.subject.classifier.remarks:
            progress.note(remark)
        notes = list(job.subject.classifier.all_notes)

        def accept(labels: Sequence[int], predictions: Sequence[int]) -> None:
            with looks_counted(job.subject.classifier.model, keeper.tally.shown):
                notes.extend(_order_note(job, labels, predictions, options.subject.seed))
            manifest["notes"] = notes

        looks = job.subject.classifier.looks
        keeper = Keeper(options, manifest, progress, ranks, idle, carried=carried, accept=accept, looks=looks)
        try:
            found = keeper.collect(_evaluate(options, job, keeper, stopping.check, ranks))
            if found is None:
                return None
            source = job.subject.classifier.provenance["source"]
            for doubt in _near_chance(found, len(job.subject.images.classes), source):
                progress.note(f"warning: {doubt}")
                notes.append(doubt)
            found = replace(found, heading=found.heading.with_notes(notes))
            folder = keeper.write(found, formats)
        except BaseException as error:
            keeper.give_up(error)
            raise
        finally:
            keeper.close()
    if HTML in asked:  # the run is done and whole, whatever becomes of its page
        write_page(folder, options.style)
    return Done(found, keeper.origin, folder, progress.note)


def _order_note(job: Job, labels: Sequence[int], predictions: Sequence[int], seed: int) -> list[str]:
    """What is said against the order of the classes, which the user has given; it ends any other run."""
    subject = job.subject
    note = check_order_of_run(
        subject.classifier.in_own_batches,
        labels,
        predictions,
        subject.images,
        head=subject.classifier.head,
        device=subject.device,
        seed=seed,
    )
    return [note] if note else []


def _evaluate(
    options: RunSettings, job: Job, keeper: Keeper, check: Callable[[], None], ranks: Ranks
) -> Evaluation:
    subject = job.subject
    return evaluate(
        subject.classifier.model,
        subject.images,
        threat=subject.threat,
        attacks=job.attacks.objects,
        defenses=subject.defenses.objects,
        rungs=job.rungs,
        gradient_free=job.gradient_free.objects,
        substitute=options.substitutes,
        calibration=options.calibration,
        indices=ranks.share(subject.indices),
        seed=options.subject.seed,
        eot=options.eot,
        judge_draws=options.judge_draws,
        batch_size=options.batch_size,
        copies=Copies(options.fast, options.precision, options.compiled),
        observer=_Kept(keeper, check, (subject.classifier.name, subject.dataset), subject.indices),
    )


@dataclass(frozen=True)
class _Kept:
    """Has a keeper write down what an evaluation finds, and ends the evaluation where the run is to stop."""

    keeper: Keeper
    check: Callable[[], None]
    names: tuple[str, str]
    population: Sequence[int]

    @property
    def origin(self) -> Mapping[str, str]:
        return self.keeper.origin

    def begin(self, checked: Checked) -> pd.DataFrame:
        self.check()
        return self.keeper.begin(checked)

    def keep(self, done: RungDone) -> None:
        self.keeper.keep(done)
        self.check()

    def note(self, text: str) -> None:
        self.keeper.progress.say(text)

    def load(self, name: str) -> bytes | None:
        return self.keeper.load(name)

    def save(self, name: str, contents: bytes) -> None:
        self.keeper.save(name, contents)


def _near_chance(found: Evaluation, named: int, source: str) -> list[str]:
    """What a specialist would want to be told about the numbers; data sets of arrays name no classes."""
    classes = named or int(found.samples["label"].max()) + 1
    clean = found.rows[0].rates["clean"].accuracy
    if classes > 1 and clean < _NEAR_CHANCE / classes:
        return [
            f"clean accuracy is {clean:.1%}, near chance for {classes} classes: see whether the weights "
            f"({source}), the normalisation (--mean, --std) and the order of the classes are right"
        ]
    return []


def _show(done: Done, options: RunSettings) -> None:
    if options.json:
        sys.stdout.write(render(done.found.rows, "json", done.origin, options.style))
        say_aside(done.found.rows)
    else:
        print_table(done.found.rows, Console(), options.style)
