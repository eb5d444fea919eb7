"""A training from its settings to its folder and its measurements."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
import torch.distributed as dist
from torch import nn

from advbench.defended.model import network_of
from advbench.errors import RunError
from advbench.jobs.build_training import (
    TrainingJob,
    assemble_training,
    training_announcement,
    training_manifest,
)
from advbench.jobs.left_as_found import left_as_found
from advbench.jobs.normalizing import notes_of_normalization
from advbench.jobs.ranks import Ranks, join_ranks
from advbench.jobs.settings.keywords import settings_from_keywords, with_keywords
from advbench.jobs.settings.train import TrainSettings
from advbench.jobs.trained import Training
from advbench.jobs.watcher import Unwatched, Watcher, check_stop
from advbench.models.checkpoint.formats import Format
from advbench.models.checkpoint.read import read_state_dicts
from advbench.reports.training import TRAINING_FILES
from advbench.results.trained import Measured, Paired
from advbench.runs.earlier_start import unfinished_run
from advbench.runs.folder import check_free
from advbench.runs.provenance import now, origin_of
from advbench.training.feed import plan_of_epoch
from advbench.training.folder import LAST, STATE, TrainingFolder, open_training_folder
from advbench.training.loop import StepDone, train
from advbench.training.measure import Climbed, climb, measurements
from advbench.training.processes import Share
from advbench.training.recipe import Recipe
from advbench.training.state import EpochRecord, TrainingState, begin, read_state
from advbench.training.tensorboard import epoch_writer

_WAYS: Final = ("plain", "apart")
_BEFORE: Final = "before"
_MEASURING: Final = "measuring"


class _Running(NamedTuple):
    """Everything that a training under way works with."""

    job: TrainingJob
    ranks: Ranks
    folder: TrainingFolder
    watcher: Watcher


class _Trained(NamedTuple):
    """A model that was trained, and its epochs."""

    model: nn.Module
    history: tuple[EpochRecord, ...] = ()


@with_keywords(TrainSettings)
def finetune(*, watcher: Watcher | None = None, **settings: Any) -> Training | None:
    """Train a BatchNorm model on, plain or with APART, and measure it before and after.

    What `advbench finetune` does, with its options as keywords. Nothing is printed, and no signal is taken.

    Args:
        watcher: is told how far the training has come, and may end it; by default nobody looks on.
        settings: the options.

    Returns:
        What it came to; None in processes of `torchrun` that do not lead.

    Raises:
        AdvbenchError: whatever is wrong, in one line.
    """
    train_settings = settings_from_keywords(TrainSettings, "finetune", settings)
    with left_as_found():
        return perform_training(train_settings, join_ranks(), watcher or Unwatched())


def perform_training(settings: TrainSettings, ranks: Ranks, watcher: Watcher) -> Training | None:
    """Train and measure; nothing is written before every input has proved usable.

    Args:
        settings: what to do.
        ranks: the processes that share the training.
        watcher: is told how far it has come, and may end it.

    Returns:
        What it came to; None in processes that do not lead.

    Raises:
        AdvbenchError: whatever ended the training.
        KeyboardInterrupt: it was asked to stop; what was finished is kept.
    """
    with _process_group(settings, ranks):
        job = assemble_training(settings, ranks)
        manifest = training_manifest(settings, job, ranks)
        if settings.out is not None and ranks.leads and not settings.evaluate:
            check_free(settings.out, manifest, overwrite=settings.overwrite)
        for remark in (training_announcement(job, ranks), *job.classifier.remarks):
            watcher.note(remark)
        for note in job.notes:
            watcher.warn(f"note: {note}.")
        check_stop(watcher)
        if settings.evaluate:
            return _measure_alone(settings, job, manifest, watcher) if ranks.leads else None
        return _train_and_measure(settings, job, manifest, ranks, watcher)


def _measure_alone(
    settings: TrainSettings, job: TrainingJob, manifest: Mapping[str, Any], watcher: Watcher
) -> Training:
    """Measure the model as it is, and what an earlier training has left."""
    models = {name: _Trained(model) for name, model in _kept_models(settings, job).items()}
    return _result(job, models, _measured(job, models, watcher), manifest)


def _train_and_measure(
    settings: TrainSettings, job: TrainingJob, manifest: dict[str, Any], ranks: Ranks, watcher: Watcher
) -> Training | None:
    folder = _folder(settings, job, manifest, ranks)
    try:
        models = _train_all(_Running(job, ranks, folder, watcher))
        if not ranks.leads:
            return None
        training = _result(job, models, _measured(job, models, watcher), folder.manifest, folder.path)
        for form, name in TRAINING_FILES.items():
            folder.write_text(name, training.table(form))
        folder.update(status="done", finished=now())
    except BaseException as error:
        _give_up(folder, error, ranks)
        raise
    finally:
        folder.release()
    return training


@contextlib.contextmanager
def _process_group(settings: TrainSettings, ranks: Ranks) -> Iterator[None]:
    """What DistributedDataParallel talks through, over the store that the processes have met at."""
    if ranks.count == 1:
        yield
        return
    on_gpu = settings.subject.device in ("auto", "cuda") and torch.cuda.is_available()
    dist.init_process_group(
        "nccl" if on_gpu else "gloo", store=ranks.store, rank=ranks.rank, world_size=ranks.count
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _folder(
    settings: TrainSettings, job: TrainingJob, manifest: dict[str, Any], ranks: Ranks
) -> TrainingFolder:
    if not ranks.leads:
        return TrainingFolder(Path(ranks.await_post("folder", lambda: None).decode()), manifest)
    started = {"status": "running", "started": now(), **manifest}
    out = settings.out
    if out is None and (settings.resume or ranks.restarted):
        out = unfinished_run(started)
        if out is None and settings.resume:
            raise RunError("there is no unfinished run of these settings under runs/; leave --resume away.")
    label = f"finetune-{job.classifier.name}-{job.dataset}"
    overwrite = ranks.may_overwrite(settings.overwrite, out, started)
    folder = open_training_folder(out, label, started, ways=_WAYS, overwrite=overwrite)
    ranks.post("folder", str(folder.path.resolve()).encode())
    return folder


def _train_all(run: _Running) -> dict[str, _Trained]:
    """Train in every way from the same weights; the models by their names, the untouched one first."""
    start = run.job.classifier.model
    return {_BEFORE: _Trained(start)} | {
        way: _train(run, way, recipe, copy.deepcopy(start).train()) for way, recipe in run.job.ways.items()
    }


def _train(run: _Running, way: str, recipe: Recipe, model: nn.Module) -> _Trained:
    job, leads, watcher = run.job, run.ranks.leads, run.watcher
    state = begin(model, recipe, job.device)
    home = run.folder.path / way
    if (home / STATE).exists():
        read_state(state, home / STATE)
        done = f"{state.epoch} epochs and {state.step} steps done"
        watcher.note(f"{way}: going on with an earlier start, {done}")
    steps = len(plan_of_epoch(job.data.indices, recipe, 0))
    watcher.begin(way, recipe.epochs * steps, state.epoch * steps + state.step)
    write_events = epoch_writer(home, state.epoch) if leads else None
    notes = origin_of(run.folder.manifest) | notes_of_normalization(job.classifier.normalization)

    def keep(state: TrainingState) -> None:
        if not leads:
            return
        run.folder.keep(way, state, network_of(state.model), notes)
        if state.step == 0:
            watcher.pass_by(_epoch_told(way, recipe, state.history[-1]))
            if write_events is not None:
                write_events(state.history[-1])

    train(
        state,
        job.data,
        recipe,
        job.device,
        share=Share(run.ranks.rank, run.ranks.count),
        notify=lambda done: watcher.advance(*_step_told(way, recipe, done)),
        keep=keep,
        asked=lambda: watcher.asked_to_stop,
    )
    return _Trained(model, tuple(state.history))


def _step_told(way: str, recipe: Recipe, done: StepDone) -> tuple[str, int]:
    """What a step has come to, and how many are done in all."""
    line = f"{way} · epoch {done.epoch}/{recipe.epochs} · loss {done.loss:.3f} · accuracy {done.accuracy:.1%}"
    return line, (done.epoch - 1) * done.steps + done.step


def _epoch_told(way: str, recipe: Recipe, epoch: EpochRecord) -> str:
    """What an epoch has come to."""
    held = "" if epoch.held_out != epoch.held_out else f", held out {epoch.held_out:.1%}"
    return (
        f"{way} · epoch {epoch.epoch}/{recipe.epochs} · loss {epoch.loss:.3f} · accuracy "
        f"{epoch.accuracy:.1%}{held} · {epoch.seconds:.0f} s"
    )


def _kept_models(settings: TrainSettings, job: TrainingJob) -> dict[str, nn.Module]:
    """The model as it is, and with the weights that an earlier run has left."""
    models = {_BEFORE: job.classifier.model}
    for way, path in _checkpoints(settings.out).items():
        model = copy.deepcopy(job.classifier.model)
        (_, weights) = read_state_dicts(path, Format.SAFETENSORS).state_dicts[0]
        network_of(model).load_state_dict(weights)
        models[way] = model
    return models


def _checkpoints(path: Path | None) -> dict[str, Path]:
    """The last weights of each way of training that a folder holds."""
    files = {} if path is None else {way: path / way / LAST for way in _WAYS}
    return {way: file for way, file in files.items() if file.exists()}


def _measured(job: TrainingJob, models: Mapping[str, _Trained], watcher: Watcher) -> dict[str, Climbed]:
    watcher.begin(_MEASURING, len(models) * measurements(job.ladder))
    measured: dict[str, Climbed] = {}
    done = 0
    for name, trained in models.items():

        def notify(row: Measured, name: str = name) -> None:
            nonlocal done
            done += 1
            watcher.advance(f"{_MEASURING} {name} · {row.measure} {row.setting}", done)
            check_stop(watcher)

        measured[name] = climb(trained.model, name, job.ladder, job.device, notify)
    return measured


def _pairs(measured: Mapping[str, Climbed]) -> Iterator[Paired]:
    """Every trained model against the one before it: APART against plain where there are both."""
    for other, one in pairwise(measured):
        ours, theirs = measured[one].right, measured[other].right
        both = int((ours & theirs).sum())
        yield Paired(one, other, len(ours), both, int(ours.sum()) - both, int(theirs.sum()) - both)


def _result(
    job: TrainingJob,
    models: Mapping[str, _Trained],
    measured: Mapping[str, Climbed],
    manifest: Mapping[str, Any],
    path: Path | None = None,
) -> Training:
    return Training(
        path=path,
        caption=f"model: {job.classifier.name}; dataset: {job.dataset}, n = {len(job.ladder.indices)}",
        rows=tuple(row for climbed in measured.values() for row in climbed.rows),
        pairs=tuple(_pairs(measured)),
        epochs={name: trained.history for name, trained in models.items() if name != _BEFORE},
        checkpoints=_checkpoints(path),
        models={name: trained.model for name, trained in models.items()},
        origin=origin_of(manifest),
    )


def _give_up(folder: TrainingFolder, error: BaseException, ranks: Ranks) -> None:
    if ranks.leads and not isinstance(error, RunError):  # a disk that is full takes no last word either
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        folder.update(status=status, finished=now())
