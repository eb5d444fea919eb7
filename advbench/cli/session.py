"""One `advbench attack`, from its words to its files."""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from rich.console import Console

from advbench.cli.assemble import Job, assemble, formats_of
from advbench.cli.attack import AttackOptions
from advbench.cli.progress import RunProgress
from advbench.cli.stopping import Stopping, asked_to_stop
from advbench.errors import InputError, RunError
from advbench.evaluation import Checked, Evaluation, RungDone, evaluate
from advbench.models.registry import PIXELS
from advbench.provenance import machine, versions
from advbench.reports import print_table, render
from advbench.reports.formats import FILE_NAMES, Format
from advbench.run_folder import RunFolder, check_free, open_folder

_NEAR_CHANCE = 1.5


def run(options: AttackOptions) -> None:
    """Do what the options say: load, check, attack, write, print.

    Nothing is written, and nothing but an error said, before every input has proved usable: the
    checkpoint, the places of the defenses, the images, and the model on every clean image.
    """
    formats = formats_of(options.formats, list(FILE_NAMES))
    job = assemble(options)
    manifest = _manifest(options, job)
    if options.out is not None:
        check_free(options.out, manifest, overwrite=options.overwrite)
    with RunProgress(Console(stderr=True), _announcement(job), quiet=options.quiet) as progress:
        keeper = _Keeper(options, manifest, progress)
        with asked_to_stop(progress.note) as stopping:
            found = _evaluate(options, job, keeper, stopping)
        for warning in _warnings(found, len(job.images.classes)):
            progress.note(warning)
    folder = keeper.write(found, [cast("Format", each) for each in formats])
    _show(found, as_json=options.json)
    progress.note(f"written to {folder}")


def _evaluate(options: AttackOptions, job: Job, keeper: "_Keeper", stopping: Stopping) -> Evaluation:
    def begin(checked: Checked) -> pd.DataFrame:
        stopping.check()
        return keeper.begin(checked)

    def keep(done: RungDone) -> None:
        keeper.keep(done)
        stopping.check()

    try:
        return evaluate(
            job.classifier.model,
            job.images,
            threat=job.threat,
            attacks=job.attacks.objects,
            defenses=job.defenses.objects,
            bpda=options.bpda,
            indices=job.indices,
            seed=options.seed,
            batch_size=options.batch_size,
            names=(job.classifier.name, job.dataset),
            begin=begin,
            notify=keep,
        )
    except BaseException as error:
        keeper.give_up(error)
        raise


class _Keeper:
    """Writes a run down while it happens; the folder appears only once the input has proved usable."""

    def __init__(self, options: AttackOptions, manifest: dict[str, Any], progress: RunProgress) -> None:
        self.options = options
        self.manifest = manifest
        self.progress = progress
        self.folder: RunFolder | None = None

    def begin(self, checked: Checked) -> pd.DataFrame:
        """Open the folder, and return what an earlier start of the same run has left there."""
        self.manifest["data"]["fingerprint"] = checked.fingerprint
        manifest = {"status": "running", "started": _now(), **self.manifest}
        label = f"{manifest['settings']['model']}-{manifest['settings']['dataset']}"
        self.folder = open_folder(self.options.out, label, manifest, overwrite=self.options.overwrite)
        self.progress.begin(checked)
        if len(self.folder.known):
            self.progress.resume(len(self.folder.known), self.folder.damaged)
        return self.folder.known

    def keep(self, done: RungDone) -> None:
        """Write the records of one batch and rung."""
        assert self.folder is not None
        self.folder.add_part(done.samples)
        self.progress.advance(done)

    def give_up(self, error: BaseException) -> None:
        """Say in `run.json` how the run ended; input that no attack could use leaves nothing behind."""
        if self.folder is None:
            return
        if isinstance(error, InputError) and self.folder.parts == 0 and not len(self.folder.known):
            self.folder.discard()
        elif not isinstance(error, RunError):  # a disk that is full takes no last word either
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.folder.update(status=status, finished=_now())

    def write(self, found: Evaluation, formats: list[Format]) -> Path:
        """Write the results; returns the folder."""
        assert self.folder is not None
        self.folder.write_samples(found.samples)
        for form in formats:
            self.folder.write_text(FILE_NAMES[form], render(found.rows, form))
        warnings = [f"{row.defense}, {row.attack}: {each}" for row in found.rows for each in row.warnings]
        self.folder.update(status="done", finished=_now(), warnings=warnings)
        return self.folder.path


def _manifest(options: AttackOptions, job: Job) -> dict[str, Any]:
    """Everything that the result depends on, for `run.json`."""
    return {
        "command": list(options.command),
        "settings": {
            "model": job.classifier.name,
            "mean": job.classifier.normalization.mean,
            "std": job.classifier.normalization.std,
            "dataset": job.dataset,
            "split": options.split,
            "image_size": options.image_size,
            "limit": options.limit,
            "first": options.first,
            "norm": job.threat.norm,
            "eps": job.threat.text,
            "eps_value": job.threat.eps,
            "attacks": job.attacks.settings,
            "defenses": job.defenses.settings,
            "bpda": options.bpda,
            "seed": options.seed,
            "indices": selection_hash(job.indices),
        },
        "execution": {"data_root": str(options.data_root), "batch_size": options.batch_size},
        "checkpoint": job.classifier.provenance,
        "data": {"n": len(job.indices)},
        "versions": versions(),
        "machine": machine(job.device),
    }


def selection_hash(indices: Sequence[int]) -> str:
    """Which images were chosen: their random draws depend on their indices, not on their pixels."""
    return hashlib.sha256(np.asarray(indices, dtype=np.int64).tobytes()).hexdigest()[:16]


def _announcement(job: Job) -> str:
    classifier = job.classifier
    mean, std = (
        " ".join(f"{each:g}" for each in part) for part in dataclasses.astuple(classifier.normalization)
    )
    normalization = "no normalisation" if classifier.normalization == PIXELS else f"mean {mean}, std {std}"
    return ", ".join(
        [
            f"{classifier.name} ({classifier.provenance['source']}; {normalization})",
            f"{len(job.indices)} images of {job.dataset}",
            f"{job.threat.norm} eps {job.threat.text}",
            *job.attacks.objects,
            str(job.device),
        ]
    )


def _warnings(found: Evaluation, classes: int) -> list[str]:
    """What a specialist would want to be told about the numbers."""
    clean = found.rows[0].rates["clean"].accuracy
    if classes > 1 and clean < _NEAR_CHANCE / classes:
        return [
            f"warning: clean accuracy is {clean:.1%}, near chance for {classes} classes. Are the "
            "normalisation (--mean, --std) and the order of the classes those of the model?"
        ]
    return []


def _show(found: Evaluation, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(render(found.rows, "json"))
    else:
        print_table(found.rows, Console())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
