"""The gallery of a run: its images again, its kept examples, and what its defenses make of them.

The model is not loaded: predictions are those that the run recorded.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from advbench.data.batches import read_batch
from advbench.data.images import LabelledImages
from advbench.draws.draws import Draws
from advbench.draws.sampling import drawn
from advbench.errors import RunFolderError
from advbench.jobs.build_chain import make_chain
from advbench.jobs.build_subject import open_images
from advbench.jobs.untrusted_run import recorded_of
from advbench.names.grammar import INPUT, parse_chain
from advbench.names.user_code import names_user_code
from advbench.reports.pictures import Panel, Picture, amplified, to_pixels
from advbench.results.records import REFUSED, UNDEFENDED
from advbench.results.table import Cell
from advbench.runs.examples import read_examples
from advbench.runs.folder import ADVERSARIAL
from advbench.runs.read import Records

MOST: Final = 200

Key = tuple[Cell, int]
"""A rung and the index of an image."""


def gallery(path: Path, records: Records, data_root: Path | None, most: int = MOST) -> list[Picture]:
    """Pictures of a run that has kept examples: those that fool first, spread over its rungs and classes.

    Args:
        path: the run's folder.
        records: what it wrote down.
        data_root: where its data set is now; None for where it was.
        most: how many pictures.

    Raises:
        InputError: no examples were kept, or the data set is not there.
    """
    recorded = recorded_of(records.manifest, data_root)
    chosen = _chosen(records, recorded.kept, most)
    images, _ = open_images(recorded.subject, recorded.subject.dataset or "")
    examples = dict(_examples(path, chosen))
    indices = sorted({index for _, index in examples})
    if not indices or indices[-1] >= len(images):
        raise RunFolderError(f"{path} holds no examples of these images.")
    batch = read_batch(images, indices)
    clean = dict(zip(indices, batch.x, strict=True))
    defenses = {cell.defense for cell, _ in examples}
    shown = {defense: _Shown(defense, recorded.subject.seed) for defense in defenses}
    facts = _facts(records)
    return [
        _picture((cell, index), (clean[index], x_adv), shown[cell.defense], facts[cell, index], images)
        for (cell, index), x_adv in sorted(examples.items(), key=lambda pair: chosen[pair[0]])
        if clean[index].shape == x_adv.shape
    ]


def _chosen(records: Records, kept: str, most: int) -> dict[Key, int]:
    """Which examples are shown, each with its place: in turns from every rung, and there from every class."""
    samples = records.samples[(records.samples["rung"] != "clean") & (records.samples["queries"] > 0)]
    if kept == "successful":
        samples = samples[~samples["robust"]]
    queues: list[list[Key]] = []
    classes = int(samples["label"].max()) + 1 if len(samples) else 1
    for number, (key, group) in enumerate(samples.groupby(["defense", "attack", "rung"], sort=False)):
        turn = group.sort_values(["robust", "index"]).groupby(["robust", "label"]).cumcount()
        shifted = (group["label"] + number) % classes  # or the first pictures would all be of one class
        order = group.assign(turn=turn, shifted=shifted).sort_values(
            ["robust", "turn", "shifted"], kind="stable"
        )
        queues.append([(_cell(key), int(index)) for index in order["index"]])
    places: dict[Key, int] = {}
    for number in range(max(map(len, queues), default=0)):
        for queue in queues:
            if number < len(queue) and len(places) < most:
                places[queue[number]] = len(places)
    return places


def _examples(path: Path, chosen: Mapping[Key, int]) -> Iterator[tuple[Key, Tensor]]:
    cells = {cell for cell, _ in chosen}
    for file in sorted((path / ADVERSARIAL).glob("*.safetensors")):
        file_examples = read_examples(file)
        if file_examples.cell not in cells:
            continue
        for index, x_adv in zip(file_examples.indices.tolist(), file_examples.x_adv, strict=True):
            if (file_examples.cell, index) in chosen:
                yield (file_examples.cell, index), x_adv.clone()


def _facts(records: Records) -> dict[Key, Mapping[str, Any]]:
    names = ["label", "clean_prediction", "prediction", "robust", "distance"]
    lines = records.samples[[*Cell._fields, "index", *names]].to_dict("records")
    examples: list[Mapping[str, Any]] = [{str(name): value for name, value in line.items()} for line in lines]
    return {
        (_cell(example[name] for name in Cell._fields), int(example["index"])): example
        for example in examples
    }


def _cell(key: Iterable[Any]) -> Cell:
    return Cell(*key)


class _Shown:
    """What a defense makes of an image before the network sees it, where that can be shown."""

    def __init__(self, defense: str, seed: int) -> None:
        self.seed = seed
        self.chain: Sequence[Any] = ()
        if defense != UNDEFENDED and not any(names_user_code(spec.name) for spec in parse_chain(defense)):
            self.chain = [
                placement.defense
                for placement in make_chain(defense)
                if placement.at == INPUT and placement.detector is None
            ]

    @torch.no_grad()
    def __call__(self, x: Tensor, index: int) -> Tensor | None:
        if not self.chain:
            return None
        image = x[None]
        try:
            for placement in self.chain:
                image = drawn(placement, Draws(self.seed, torch.tensor([index])).stream("gallery"))(image)
        except (RuntimeError, ValueError, TypeError):
            return None  # a codec that this machine does not have, for example
        return image[0] if image.dim() == 4 and image.shape[1] in (1, 3) else None


def _picture(
    key: Key,
    both: tuple[Tensor, Tensor],
    shown: _Shown,
    facts: Mapping[str, Any],
    images: LabelledImages,
) -> Picture:
    (cell, index), (x, x_adv) = key, both
    name = _namer(images.classes)
    delta, factor = amplified((x_adv - x).numpy())
    panels = [
        Panel(
            to_pixels(x.numpy()),
            "clean",
            f"{name(facts['label'])}, taken for {name(facts['clean_prediction'])}",
        ),
        Panel(delta, "perturbation", f"× {factor:.3g}, norm {facts['distance']:.3g}"),
        Panel(to_pixels(x_adv.numpy()), "adversarial", f"taken for {name(facts['prediction'])}"),
    ]
    defended = shown(x_adv, index)
    if defended is not None:
        panels.append(Panel(to_pixels(defended.numpy()), "behind the defense", "what the network sees"))
    return Picture(
        index=index,
        label=name(facts["label"]),
        defense=cell.defense,
        attack=cell.attack,
        rung=cell.rung,
        fooled=not facts["robust"],
        panels=panels,
    )


def _namer(classes: Sequence[str]) -> Callable[[Any], str]:
    def name(label: Any) -> str:
        number = int(label)
        if number < 0:
            return "refused" if number == REFUSED else "nothing"
        return classes[number] if number < len(classes) else str(number)

    return name
