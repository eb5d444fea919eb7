"""One `advbench finetune`, from its words to its files."""

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from rich.console import Console
from torch import nn

from advbench.cli.normalizing import notes_of_normalization
from advbench.cli.ranks import Ranks, join_ranks
from advbench.cli.stopping import Stopping, asked_to_stop
from advbench.cli.training_job import TrainingJob, assemble_training, training_announcement, training_manifest
from advbench.cli.training_progress import TrainingProgress
from advbench.cli.voice import one_voice
from advbench.defended.model import network_of
from advbench.errors import RunError, printable
from advbench.jobs.settings.train import TrainSettings
from advbench.models.checkpoint.formats import Format
from advbench.models.checkpoint.read import read_state_dicts
from advbench.reports.training import print_training, training_csv, training_json, training_markdown
from advbench.results.trained import Paired
from advbench.runs.folder import check_free, unfinished_run
from advbench.runs.provenance import origin_of
from advbench.training.feed import plan_of_epoch
from advbench.training.folder import LAST, STATE, TrainingFolder, open_training_folder
from advbench.training.loop import train
from advbench.training.measure import Climbed, climb, measurements
from advbench.training.processes import Share
from advbench.training.recipe import Recipe
from advbench.training.state import Training, begin, read_state
from advbench.training.tensorboard import epoch_writer

_WAYS = ("plain", "apart")
_BEFORE = "before"


class _Running(NamedTuple):
    """Everything that a training under way works with."""

    options: TrainSettings
    job: TrainingJob
    ranks: Ranks
    folder: TrainingFolder
    progress: TrainingProgress
    stopping: Stopping


def run(options: TrainSettings) -> None:
    """Do what the options say; where several processes train, one speaks for all.

    Nothing is written before every input has proved usable.
    """
    ranks = join_ranks()
    with one_voice(ranks), _process_group(options, ranks):
        _run(options, ranks)


def _run(options: TrainSettings, ranks: Ranks) -> None:
    job = assemble_training(options, ranks)
    manifest = training_manifest(options, job, ranks)
    if options.out is not None and ranks.leads and not options.evaluate:
        check_free(options.out, manifest, overwrite=options.overwrite)
    quiet = options.quiet or not ranks.leads
    with (
        TrainingProgress(Console(stderr=True), quiet=quiet) as progress,
        asked_to_stop(progress.note) as stopping,
    ):
        progress.note(training_announcement(job, ranks))
        for remark in job.classifier.remarks:
            progress.note(remark)
        for note in job.notes if ranks.leads else ():  # also where it is quiet
            sys.stderr.write(printable(f"note: {note}.") + "\n")
        if options.evaluate:
            found = _measured(job, _kept_models(options, job), progress, stopping.check)
            _show(options, job, found, origin_of(manifest))
            return
        folder = _folder(options, job, manifest, ranks)
        try:
            models = _train_all(_Running(options, job, ranks, folder, progress, stopping))
            if not ranks.leads:
                return
            found = _measured(job, models, progress, stopping.check)
            _write(job, folder, found)
        except BaseException as error:
            _give_up(folder, error, ranks)
            raise
        finally:
            folder.release()
    _show(options, job, found, origin_of(folder.manifest))
    progress.note(f"written to {folder.path}")


@contextlib.contextmanager
def _process_group(options: TrainSettings, ranks: Ranks) -> Iterator[None]:
    """What DistributedDataParallel talks through, over the store that the processes have met at."""
    if ranks.count == 1:
        yield
        return
    on_gpu = options.subject.device in ("auto", "cuda") and torch.cuda.is_available()
    dist.init_process_group(
        "nccl" if on_gpu else "gloo", store=ranks.store, rank=ranks.rank, world_size=ranks.count
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _folder(
    options: TrainSettings, job: TrainingJob, manifest: dict[str, Any], ranks: Ranks
) -> TrainingFolder:
    if not ranks.leads:
        return TrainingFolder(Path(ranks.await_post("folder", lambda: None).decode()), manifest)
    started = {"status": "running", "started": _now(), **manifest}
    out = options.out
    if out is None and (options.resume or ranks.restarted):
        out = unfinished_run(started)
        if out is None and options.resume:
            raise RunError("there is no unfinished run of these settings under runs/; leave --resume away.")
    folder = open_training_folder(
        out, f"finetune-{job.classifier.name}-{job.dataset}", started, ways=_WAYS, overwrite=options.overwrite
    )
    ranks.post("folder", str(folder.path.resolve()).encode())
    return folder


def _train_all(run: "_Running") -> dict[str, nn.Module]:
    """Train in every way from the same weights; the models by their names, the untouched one first."""
    start = run.job.classifier.model
    return {_BEFORE: start} | {
        way: _train(run, way, recipe, copy.deepcopy(start).train()) for way, recipe in run.job.ways.items()
    }


def _train(run: "_Running", way: str, recipe: Recipe, model: nn.Module) -> nn.Module:
    job, leads = run.job, run.ranks.leads
    training = begin(model, recipe, job.device)
    home = run.folder.path / way
    if (home / STATE).exists():
        read_state(training, home / STATE)
        done = f"{training.epoch} epochs and {training.step} steps done"
        run.progress.note(f"{way}: going on with an earlier start, {done}")
    steps = len(plan_of_epoch(job.data.indices, recipe, 0))
    run.progress.begin(way, recipe.epochs * steps, training.epoch * steps + training.step)
    write_events = epoch_writer(home, training.epoch) if leads else None

    notes = origin_of(run.folder.manifest) | notes_of_normalization(job.classifier.normalization)

    def keep(training: Training) -> None:
        if not leads:
            return
        run.folder.keep(way, training, _network(training.model), notes)
        if training.step == 0:
            run.progress.epoch(way, recipe.epochs, training.history[-1])
            if write_events is not None:
                write_events(training.history[-1])

    train(
        training,
        job.data,
        recipe,
        job.device,
        share=Share(run.ranks.rank, run.ranks.count),
        notify=lambda done: run.progress.step(way, recipe.epochs, done),
        keep=keep,
        asked=lambda: run.stopping.asked,
    )
    return model


def _network(model: nn.Module) -> nn.Module:
    """What a checkpoint holds: the network without the normalisation before it."""
    return network_of(model)


def _kept_models(options: TrainSettings, job: TrainingJob) -> dict[str, nn.Module]:
    """The model as it is, and with the weights that an earlier run has left."""
    models = {_BEFORE: job.classifier.model}
    for way in _WAYS if options.out is not None else ():
        assert options.out is not None
        path = options.out / way / LAST
        if path.exists():
            model = copy.deepcopy(job.classifier.model)
            (_, weights) = read_state_dicts(path, Format.SAFETENSORS).found[0]
            _network(model).load_state_dict(weights)
            models[way] = model
    return models


def _measured(
    job: TrainingJob, models: dict[str, nn.Module], progress: TrainingProgress, check: Callable[[], None]
) -> dict[str, Climbed]:
    progress.begin("measuring", len(models) * measurements(job.ladder))
    found = {}
    for name, model in models.items():

        def notify(row: Any, name: str = name) -> None:
            progress.measured(f"measuring {name} · {row.measure} {row.setting}")
            check()

        found[name] = climb(model, name, job.ladder, job.device, notify)
    return found


def _pairs(found: dict[str, Climbed]) -> list[Paired]:
    """Every trained model against the one before it: APART against plain where there are both."""
    names = list(found)
    pairs = []
    for other, one in pairwise(names):
        mine, theirs = found[one].right, found[other].right
        both = int((mine & theirs).sum())
        pairs.append(Paired(one, other, len(mine), both, int(mine.sum()) - both, int(theirs.sum()) - both))
    return pairs


def _caption(job: TrainingJob) -> str:
    return f"model: {job.classifier.name}; dataset: {job.dataset}, n = {len(job.ladder.indices)}"


def _write(job: TrainingJob, folder: TrainingFolder, found: dict[str, Climbed]) -> None:
    rows = [row for each in found.values() for row in each.rows]
    origin = origin_of(folder.manifest)
    folder.write_text("table.csv", training_csv(rows, origin))
    folder.write_text("table.md", training_markdown(_caption(job), rows, _pairs(found), origin))
    folder.write_text("table.json", training_json(rows, _pairs(found), origin))
    folder.update(status="done", finished=_now())


def _give_up(folder: TrainingFolder, error: BaseException, ranks: Ranks) -> None:
    if ranks.leads and not isinstance(error, RunError):  # a disk that is full takes no last word either
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        folder.update(status=status, finished=_now())


def _show(
    options: TrainSettings, job: TrainingJob, found: dict[str, Climbed], origin: dict[str, str]
) -> None:
    rows = [row for each in found.values() for row in each.rows]
    if options.json:
        sys.stdout.write(training_json(rows, _pairs(found), origin))
    else:
        print_training(_caption(job), rows, _pairs(found), Console())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
