"""The adversarial images of a row as one tensor in the order of the test set, as leaderboards ask for it."""

import io
from pathlib import Path

import torch
from torch import Tensor

from advbench.data.batches import read_batch
from advbench.errors import RunFolderError
from advbench.jobs.build_subject import open_images
from advbench.jobs.untrusted_run import recorded_of
from advbench.reports.runs import ReportedRun
from advbench.results.records import Row
from advbench.results.table import of_row
from advbench.runs.examples import read_examples
from advbench.runs.folder import ADVERSARIAL

_AT_ONCE = 1_000  # images


def pack_board_examples(row: Row, run: ReportedRun, data_root: Path | None) -> bytes:
    """The contents of a `.pt` file that holds a float32 tensor `(n, c, h, w)` in [0, 1].

    As `board_examples`, whose errors it raises.
    """
    buffer = io.BytesIO()
    torch.save(board_examples(row, run, data_root), buffer)
    return buffer.getvalue()


def board_examples(row: Row, run: ReportedRun, data_root: Path | None) -> Tensor:
    """For each image of the test set the example of a rung that fells it, or of the last that was tried.

    An image that is wrong when clean has no example, and is its own.

    Args:
        row: whose.
        run: where the row comes from.
        data_root: where the data set is now; None for where it was.

    Raises:
        RunFolderError: the run kept no examples, or not all of them, or its images are not a whole test set.
        DatasetError: the data set is not there.
    """
    manifest = run.records.manifest
    recorded = recorded_of(manifest, data_root)
    if recorded.kept != "all":
        raise RunFolderError(f"{run.path} does not hold every example: attack with --save-adversarial.")
    images, _ = open_images(recorded.subject, recorded.subject.dataset or "")
    samples = of_row(run.records.samples, row.defense, row.attack)
    if sorted(set(samples["index"])) != list(range(len(images))):
        raise RunFolderError(f"{run.path} does not hold every image of the test set, once and in its order.")
    tensor = torch.cat(
        [
            read_batch(images, range(start, min(start + _AT_ONCE, len(images)))).x
            for start in range(0, len(images), _AT_ONCE)
        ]
    )
    felling = samples[~samples["robust"]]
    fallen = set(zip(felling["attack"], felling["rung"], felling["index"].tolist(), strict=True))
    done = {index for _, rung, index in fallen if rung == "clean"}
    attacks = set(samples["attack"])
    felled: set[int] = set()
    for file in sorted((run.path / ADVERSARIAL).glob("*.safetensors")):
        cell, indices, x_adv = read_examples(file)
        if cell.defense != row.defense or cell.attack not in attacks:
            continue
        if x_adv.shape[1:] != tensor.shape[1:]:
            raise RunFolderError(f"{file} holds images of another size.")
        for place, index in enumerate(indices.tolist()):
            fells = (cell.attack, cell.rung, index) in fallen
            if 0 <= index < len(tensor) and index not in felled:
                tensor[index] = x_adv[place]
                done.add(index)
                felled |= {index} if fells else set()
    if len(done) < len(tensor):
        raise RunFolderError(f"{run.path} holds no example of {len(tensor) - len(done)} images.")
    return tensor
