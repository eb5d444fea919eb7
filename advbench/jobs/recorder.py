"""A run is written down while it happens, by every process that shares it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch

from advbench.defended.counting import Tally, looks_counted
from advbench.errors import InputError, RunError, StoppedError
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.clean_pass import fingerprint
from advbench.evaluation.ladder import Evaluation, merge
from advbench.evaluation.observer import Checked
from advbench.jobs.black_box import box_begins
from advbench.jobs.build_attacks import Job
from advbench.jobs.carry_over import Carried
from advbench.jobs.describe import announcement
from advbench.jobs.finished import Run, run_of
from advbench.jobs.ranks import Ranks
from advbench.jobs.report_page import page_of_run
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.watcher import Watcher, check_stop
from advbench.reports import render
from advbench.reports.formats import FILE_NAMES, HTML
from advbench.reports.page import PAGE_FILE
from advbench.results.indicators import Indicator
from advbench.results.records import join_samples
from advbench.results.shown import added_up
from advbench.results.table import warnings_told
from advbench.runs.earlier_start import unfinished_run
from advbench.runs.examples import Examples
from advbench.runs.folder import (
    CANDIDATES,
    INDICATORS,
    SHOWN,
    RunFolder,
    join_folder,
    open_folder,
)
from advbench.runs.listings import candidates_csv, indicators_csv
from advbench.runs.provenance import now

Accept = Callable[[Sequence[int], Sequence[int]], Sequence[str]]
"""Labels and predictions of all clean images to the notes of the table."""

_DONE: Final = "done"
"""The number of (image, rung) pairs that all processes have done."""


class Recorder:
    """Records what a run finds; its folder appears only once the input has proved usable.

    It is the `Observer` of the run's evaluation, and ends that where the run is to stop.

    Args:
        settings: what the run was told.
        job: what it works with.
        manifest: what `run.json` says before the start.
        ranks: the processes that share the run.
        watcher: is told how far all of them have come.
        carried: what has fallen at smaller radii, if the run is part of a curve.
        accept: is given the labels and the undefended model's predictions of all clean images, in the
            process that leads, and returns the notes of the table; what it raises ends the run before
            anything is written.
    """

    def __init__(
        self,
        settings: RunSettings,
        job: Job,
        manifest: dict[str, Any],
        ranks: Ranks,
        watcher: Watcher,
        *,
        carried: Carried | None = None,
        accept: Accept,
    ) -> None:
        self.settings = settings
        self.job = job
        self.manifest = manifest
        self.ranks = ranks
        self.watcher = watcher
        self.carried = carried
        self.accept = accept
        self.folder: RunFolder | None = None
        self.digests: list[dict[int, bytes]] = []
        self.tally = Tally()
        self.searched: dict[str, bytes] = {}

    @property
    def names(self) -> tuple[str, str]:
        """The model's and the data set's name in the table."""
        return self.job.subject.classifier.name, self.job.subject.dataset

    @property
    def population(self) -> Sequence[int]:
        """All images of the run, of which this process may attack a share."""
        return self.job.subject.indices

    def note(self, text: str) -> None:
        """Hand a sentence about this process on."""
        self.watcher.say(text)

    def begin(self, checked: Checked) -> pd.DataFrame:
        """Open the folder, and return what an earlier start of the same run has left there."""
        check_stop(self.watcher)
        self.tally.shown = checked.shown
        checked.shown.images["probe"] += self.job.subject.classifier.looks
        self._share_clean(checked)
        if not self.ranks.leads:
            path = Path(self.ranks.await_post("folder", self._idle).decode())
            self.folder = join_folder(path, self.ranks.rank)
            return self.folder.known
        self.manifest["data"]["fingerprint"] = fingerprint(
            {index: digest for part in self.digests for index, digest in part.items()}
        )
        self.manifest["execution"]["batch_size"] = checked.batch_size
        manifest = {"status": "running", "started": now(), **self.manifest}
        label = f"{manifest['settings']['model']}-{manifest['settings']['dataset']}"
        out = self.settings.out
        if out is None and self.ranks.restarted:  # by torchrun, which cannot say --out
            out = unfinished_run(manifest)
        overwrite = self.ranks.may_overwrite(self.settings.overwrite, out, manifest)
        self.folder = open_folder(out, label, manifest, overwrite=overwrite)
        self.tally.go_on(self.folder.manifest[SHOWN], self.folder.shown)
        earlier = sum(self.tally.earlier.values())
        box_begins(self.job.subject.classifier.model, self.settings.max_queries, earlier)
        self._announce(self.folder, checked, manifest["data"]["n"])
        self.ranks.post("folder", str(self.folder.path.resolve()).encode())
        return self._with_carried(self.folder)

    def _announce(self, folder: RunFolder, checked: Checked, images: int) -> None:
        """Say what is run, how many (image, rung) pairs there are, and what an earlier start has left."""
        shared = f", {self.ranks.count} processes" if self.ranks.count > 1 else ""
        self.watcher.note(f"{announcement(self.job)}, {checked.batch_size} images at a time{shared}")
        known = len(folder.known)
        self.watcher.begin(
            "attacking", checked.work // len(checked.digests) * images, self.ranks.add(_DONE, known)
        )
        if known:
            again = f"; {folder.damaged} damaged parts are done again" if folder.damaged else ""
            self.watcher.note(f"going on with an earlier start of this run: {known} records found{again}")

    def _idle(self) -> None:
        """Wait for another process, unless the run is asked to stop."""
        check_stop(self.watcher)
        self.watcher.advance("waiting for the other processes", self.ranks.add(_DONE, 0))

    def _with_carried(self, folder: RunFolder) -> pd.DataFrame:
        """What is known, with what smaller radii have felled; that is kept like what the run finds itself."""
        if self.carried is None:
            return folder.known
        known = [folder.known]
        wanted = self.settings.kept_examples is not None
        for samples, examples in self.carried.parts(folder.known, with_examples=wanted):
            folder.add_part(samples, examples)
            known.append(samples)
        return join_samples(known)

    def keep(self, done: RungDone) -> None:
        """Write the records of one batch and rung, and the examples that belong to them."""
        assert self.folder is not None
        self.folder.add_part(done.samples, self._examples(done), self.tally.untold())
        rung = "/".join(done.cell)
        standing = self.ranks.add(f"{rung}/standing", int(done.samples["robust"].sum()))
        seen = self.ranks.add(f"{rung}/seen", len(done.samples))
        self.watcher.advance(
            f"{done.cell.defense} · {done.rung} · {standing}/{seen} stand",
            self.ranks.add(_DONE, len(done.samples)),
        )
        check_stop(self.watcher)

    def load(self, name: str) -> bytes | None:
        """What was found once for all: the leading process looks and makes it, the others wait for it."""
        assert self.folder is not None
        if not self.ranks.leads:
            return self.ranks.await_post(f"search/{name}", self._idle)
        contents = self.folder.load(name)
        if contents is not None:
            self.searched[name] = contents
            self._tell(name, contents)
        return contents

    def save(self, name: str, contents: bytes) -> None:
        """Keep what the search for substitutes has found or fitted, and tell the other processes."""
        assert self.folder is not None
        if self.ranks.leads:
            self.searched[name] = contents
            self.folder.save(name, contents)
            self._tell(name, contents)

    def _tell(self, name: str, contents: bytes) -> None:
        if not self.ranks.has(f"search/{name}"):
            self.ranks.post(f"search/{name}", contents)

    def collect(self, evaluation: Evaluation) -> Evaluation | None:
        """What all processes have found, for the one that leads; None for the others."""
        if not self.ranks.leads:
            self.ranks.post(f"found/{self.ranks.rank}", _pack(evaluation))
            return None
        parts = [evaluation]
        for rank in range(1, self.ranks.count):
            contents = self.ranks.await_post(f"found/{rank}", self._idle)
            parts.append(_unpack(contents, evaluation, self.digests[rank]))
        return evaluation if self.ranks.count == 1 else merge(parts)

    def give_up(self, error: BaseException) -> None:
        """Say in `run.json` how the run ended; input that no attack could use leaves nothing behind."""
        if self.folder is None or not self.ranks.leads or self.folder.manifest.get("status") == "done":
            return
        untouched = self.ranks.count == 1 and self.folder.parts == 0 and not len(self.folder.known)
        if isinstance(error, InputError) and untouched:
            self.folder.discard()
        elif not isinstance(error, RunError):  # a disk that is full takes no last word either
            status = "interrupted" if isinstance(error, KeyboardInterrupt | StoppedError) else "failed"
            shown = added_up([self.tally.earlier, self.tally.shown.images])
            self.folder.update(status=status, finished=now(), **{SHOWN: shown})

    def write(self, evaluation: Evaluation, formats: Sequence[str]) -> Run:
        """Write the results, and the seal last; returns the run as its folder holds it.

        Args:
            evaluation: what was found.
            formats: of the tables, and `html` for the page. What an earlier start left in other formats is
                written anew too, so that all files of the folder are of one run.
        """
        folder = self.folder
        assert folder is not None
        for name, contents in self.searched.items():
            if folder.load(name) != contents:  # somebody has removed it meanwhile
                folder.save(name, contents)
        folder.write_samples(evaluation.samples)
        if evaluation.candidates:
            folder.write_text(CANDIDATES, candidates_csv(evaluation.candidates, self.origin))
        if evaluation.heading.indicators:
            folder.write_text(INDICATORS, indicators_csv(evaluation.heading.indicators, self.origin))
        for form, name in FILE_NAMES.items():
            if form in formats or (folder.path / name).exists():
                folder.write_text(name, render(evaluation.rows, form, self.origin, self.settings.style))
        folder.manifest |= self._ending(evaluation)
        run = run_of(folder.path, folder.manifest, evaluation.heading, evaluation.samples)
        try:  # the run is done and whole, whatever becomes of its page
            if HTML in formats or (folder.path / PAGE_FILE).exists():
                folder.write_text(PAGE_FILE, page_of_run(run.records, self.settings.style))
        finally:
            folder.seal(self.settings.sign)
        return run_of(folder.path, folder.manifest, evaluation.heading, evaluation.samples)

    def _ending(self, evaluation: Evaluation) -> dict[str, Any]:
        """What `run.json` says at the end beside the digests of its files."""
        return {
            "status": "done",
            "finished": now(),
            "notes": list(evaluation.heading.notes),
            SHOWN: added_up([self.tally.earlier, evaluation.shown]),
            "heading": evaluation.heading.as_record(),
            "candidates": [asdict(candidate) for candidate in evaluation.candidates],
            "warnings": warnings_told(evaluation.rows),
            "tables": self.settings.style.settings(),
        }

    def close(self) -> None:
        """Let other runs write to the folder."""
        if self.folder is not None:
            self.folder.release()

    @property
    def origin(self) -> dict[str, str]:
        """Where the results come from, as every file of the run says it."""
        assert self.folder is not None
        return self.folder.origin

    def _share_clean(self, checked: Checked) -> None:
        """Let the leading process know all images: it hashes them, and judges the order of their classes."""
        own = {index: digest.hex() for index, digest in checked.digests.items()}
        answers = [checked.clean[name].tolist() for name in ("label", "clean_prediction")]
        if not self.ranks.leads:
            self.ranks.post(f"clean/{self.ranks.rank}", json.dumps([own, *answers]).encode())
            return
        self.digests = [dict(checked.digests)]
        for rank in range(1, self.ranks.count):
            theirs, *more = json.loads(self.ranks.await_post(f"clean/{rank}", self._idle))
            self.digests.append({int(index): bytes.fromhex(digest) for index, digest in theirs.items()})
            answers = [[*known, *new] for known, new in zip(answers, more, strict=True)]
        with looks_counted(self.job.subject.classifier.model, checked.shown):
            self.manifest["notes"] = list(self.accept(*answers))

    def _examples(self, done: RungDone) -> Examples | None:
        wanted = self.settings.kept_examples
        if wanted is None or done.x_adv is None:
            return None
        samples, x_adv = done.samples, done.x_adv.cpu()
        if wanted == "successful":
            fallen = torch.tensor((~samples["robust"]).tolist())
            samples, x_adv = samples[~samples["robust"]], x_adv[fallen]
        if not len(samples):
            return None
        indices = torch.tensor(samples["index"].tolist())
        return Examples(done.cell, indices, x_adv)


def _pack(evaluation: Evaluation) -> bytes:
    """What one process has found, as bytes: doubts, indicators and counts in a line, then the records."""
    header = [
        evaluation.heading.doubts,
        [asdict(indicator) for indicator in evaluation.heading.indicators],
        dict(evaluation.shown),
    ]
    return json.dumps(header).encode() + b"\n" + evaluation.samples.to_parquet(index=False)


def _unpack(contents: bytes, like: Evaluation, digests: dict[int, bytes]) -> Evaluation:
    line, _, parquet = contents.partition(b"\n")
    doubts, indicators, shown = json.loads(line)
    heading = like.heading.with_doubts({defense: tuple(doubt) for defense, doubt in doubts.items()})
    return Evaluation(
        heading.with_indicators(Indicator(**indicator) for indicator in indicators),
        pd.read_parquet(BytesIO(parquet)).astype(like.samples.dtypes),
        digests,
        shown=shown,
    )
