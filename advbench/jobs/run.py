"""One run, from its settings to its files."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from advbench.evaluation.ladder import Evaluation, evaluate
from advbench.jobs.black_box import left_of
from advbench.jobs.build_attacks import Job, assemble
from advbench.jobs.carry_over import Carried
from advbench.jobs.describe import manifest_of
from advbench.jobs.finished import Run
from advbench.jobs.objects import NO_OBJECTS, Objects
from advbench.jobs.order_check import check_order_of_run, reject_class_suspected
from advbench.jobs.ranks import Ranks
from advbench.jobs.recorder import Recorder
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.subject import SubjectOptions
from advbench.jobs.share_of_batches import sentences_of, share_of
from advbench.jobs.watcher import Unwatched, Watcher
from advbench.names.adaptation import adapts
from advbench.reports.formats import FILE_NAMES, HTML, formats_of
from advbench.runs.folder import check_free
from advbench.runs.signature import check_key
from advbench.speed.working_copy import Copies

_NEAR_CHANCE = 1.5


def perform(
    settings: RunSettings,
    ranks: Ranks | None = None,
    watcher: Watcher | None = None,
    *,
    carried: Carried | None = None,
    objects: Objects = NO_OBJECTS,
) -> Run | None:
    """Run into a folder, print nothing, and return what the run found; None where another process has it.

    Nothing is written before every input has proved usable: the checkpoint, the places of the defenses, the
    images, and the model on every clean image.

    Args:
        settings: what to do.
        ranks: the processes that share the run; this one alone by default.
        watcher: is told how far the run has come, and may end it; nobody by default.
        carried: what has fallen at smaller radii, and is not attacked again.
        objects: what is given as objects, under the names that the settings have.

    Raises:
        AdvbenchError: whatever ended the run.
        KeyboardInterrupt: it was asked to stop.
    """
    ranks = Ranks() if ranks is None else ranks
    watcher = Unwatched() if watcher is None else watcher
    asked = formats_of(settings.formats, [*FILE_NAMES, HTML])
    if settings.sign is not None:
        check_key(settings.sign)
    job = assemble(left_of(settings), ranks, objects)
    manifest = manifest_of(settings, job, ranks)
    if adapts(settings.defenses):  # a batch is attacked whole
        carried = None
    if carried is not None:
        manifest["settings"]["carried_from"] = [folder.name for folder in carried.felled]
    if settings.out is not None and ranks.leads:
        check_free(settings.out, manifest, overwrite=settings.overwrite)
    watcher.begin("checking clean images", None)
    for remark in job.subject.classifier.remarks:
        watcher.note(remark)
    if job.left_out:
        watcher.note(job.left_out)
    notes = [*job.subject.classifier.all_notes, *sentences_of(job.subject.defenses.objects), *job.remarks]
    accept = partial(_notes_of_order, job, notes, settings.subject)
    recorder = Recorder(settings, job, manifest, ranks, watcher, carried=carried, accept=accept)
    try:
        evaluation = recorder.collect(_evaluate(settings, job, recorder, ranks))
        if evaluation is None:
            return None
        source = job.subject.classifier.provenance["source"]
        for doubt in _near_chance(evaluation, len(job.subject.images.classes), source):
            watcher.note(f"warning: {doubt}")
            notes.append(doubt)
        evaluation = replace(evaluation, heading=evaluation.heading.with_notes(notes))
        return recorder.write(evaluation, asked)
    except BaseException as error:
        recorder.give_up(error)
        raise
    finally:
        recorder.close()


def _notes_of_order(
    job: Job, notes: list[str], options: SubjectOptions, labels: Sequence[int], predictions: Sequence[int]
) -> list[str]:
    """The notes, and what is said against an order of the classes that the user has given.

    Another order than the model's ends any other run.
    """
    subject = job.subject
    with reject_class_suspected(options.reject_class):
        note = check_order_of_run(
            subject.classifier.in_own_batches,
            labels,
            predictions,
            subject.images,
            head=subject.classifier.head,
            device=subject.device,
            seed=options.seed,
        )
    notes.extend([note] if note else [])
    return notes


def _evaluate(settings: RunSettings, job: Job, recorder: Recorder, ranks: Ranks) -> Evaluation:
    subject = job.subject
    return evaluate(
        subject.classifier.model,
        subject.images,
        threat=subject.threat,
        attacks=job.attacks.objects,
        defenses=subject.defenses.objects,
        rungs=(*job.rungs, *job.tests),
        gradient_free=job.gradient_free.objects,
        label_only=job.label_only.objects,
        substitute=settings.substitutes,
        calibration=settings.calibration,
        indices=share_of(subject.indices, settings.defenses, ranks),
        seed=settings.seed,
        eot=settings.eot,
        judge_draws=settings.judging,
        batch_size=settings.batch_size,
        copies=Copies(settings.fast, settings.precision, settings.compiled),
        stand_ins=job.stand_ins,
        observer=recorder,
    )


def _near_chance(evaluation: Evaluation, named: int, source: str) -> list[str]:
    """What a specialist would want to be told about the numbers; data sets of arrays name no classes."""
    classes = named or int(evaluation.samples["label"].max()) + 1
    clean = evaluation.rows[0].rates["clean"].accuracy
    if classes > 1 and clean < _NEAR_CHANCE / classes:
        return [
            f"clean accuracy is {clean:.1%}, near chance for {classes} classes: see whether the weights "
            f"({source}), the normalisation (--mean, --std) and the order of the classes are right"
        ]
    return []
