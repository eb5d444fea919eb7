"""A run in words: what `run.json` says of it, and the line that the user sees."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import advbench
from advbench.data.batches import Images
from advbench.data.images import LabelledImages
from advbench.errors import RunFolderError
from advbench.jobs.build_attacks import Job, assemble
from advbench.jobs.describe import announcement, class_settings, manifest_of, selection_hash
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.models.registry import Normalization
from advbench.runs.manifest import run_hash

Y = torch.tensor([2, 0, 1])
PIXELS = TensorDataset(torch.zeros(3, 1, 4, 4), Y)


def named(outputs: tuple[int, ...] | None, count: int = 3) -> LabelledImages:
    return LabelledImages(PIXELS, Y.numpy(), [f"class {number}" for number in range(count)], outputs)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (PIXELS, None),
        (named(None), None),
        (named((0, 1, 2)), None),
        (named((2, 0)), {"count": 3, "outputs": {"class 2": 2, "class 0": 0}}),
        (named((0, 1, 2), count=4), {"count": 4, "outputs": {f"class {n}": n for n in range(3)}}),
    ],
)
def test_the_order_of_classes_is_told_where_it_is_not_the_data_sets_own(
    images: Images, told: dict[str, Any] | None
) -> None:
    assert class_settings(images) == told


def test_the_same_images_have_the_same_hash_and_others_another() -> None:
    selections: list[list[int]] = [[], [0], [1], [0, 1], [1, 0], list(range(200))]
    hashes = [selection_hash(each) for each in selections]
    assert len(set(hashes)) == len(selections)
    assert all(len(each) == 16 for each in hashes)
    assert selection_hash(range(200)) == hashes[-1]


@pytest.fixture(scope="module")
def job() -> Job:
    words = RunSettings(first=3, defenses=("round",), steps=2, bpda=True, eps="8/255")
    return assemble(words, Ranks())


def test_a_run_is_announced_in_a_line(job: Job) -> None:
    line = f"3 images of digits, linf eps 8/255, pgd:steps=2, {job.subject.device}"
    assert announcement(job) == f"digits-cnn (state dict; no normalisation), {line}"
    chosen = job.subject.classifier.chosen._replace(normalization=Normalization((0.5, 0.25), (1.0, 2.0)))
    subject = job.subject._replace(classifier=job.subject.classifier._replace(chosen=chosen))
    assert "; mean 0.5 0.25, std 1 2)" in announcement(job._replace(subject=subject))


def test_what_numbers_depend_on_is_a_setting_and_what_they_do_not_is_not(job: Job) -> None:
    options = RunSettings(first=3, defenses=("round",), steps=2, bpda=True, eps="8/255")
    told = manifest_of(options, job, Ranks())
    settings = told["settings"]
    assert (settings["eps"], settings["eps_value"]) == ("8/255", 8 / 255)
    assert (settings["calibration"], settings["gradient_free"], settings["substitute"]) == (64, {}, None)
    assert list(settings["attacks"]) == ["pgd:steps=2"]
    assert told["data"] == {"n": 3}
    assert "objects" not in told
    assert manifest_of(options, job._replace(nameless=("model",)), Ranks())["objects"] == ["model"]
    same: list[dict[str, Any]] = [{"batch_size": 7}, {"data_root": Path("there")}, {"formats": "json"}]
    other: list[dict[str, Any]] = [{"seed": 1}, {"eot": 3}, {"precision": "bf16"}, {"save_adversarial": True}]
    for change in same:
        assert manifest_of(replace(options, **change), job, Ranks(0, 3))["settings"] == settings
    for change in other:
        assert manifest_of(replace(options, **change), job, Ranks())["settings"] != settings


def test_a_run_that_draws_says_how_and_goes_on_with_none_that_drew_otherwise(
    tmp_path: Path, job: Job
) -> None:
    assert "attack_draws" not in manifest_of(RunSettings(), job, Ranks())["settings"]
    settings: dict[str, Any] = {"data": "digits", "defenses": ["noise"], "first": 8, "steps": 1, "eot": 1}
    run = advbench.run(**settings, judge_draws=2, ladder=True, save_adversarial=True, out=tmp_path / "run")
    assert run.manifest["settings"]["attack_draws"] == "by image and pass"
    deep = advbench.verify(run.path, deep=True)
    assert all(check.holds for check in deep), [check.said for check in deep if not check.holds]
    account = tmp_path / "run/run.json"
    manifest = json.loads(account.read_text(encoding="utf-8"))
    del manifest["settings"]["attack_draws"], manifest["seal"]
    account.write_text(json.dumps({**manifest, "hash": run_hash(manifest)}), encoding="utf-8")
    with pytest.raises(
        RunFolderError, match=r"another run \(attack_draws was null, now \"by image and pass\"\)"
    ):
        advbench.run(**settings, judge_draws=2, ladder=True, save_adversarial=True, out=tmp_path / "run")
    again = next(check for check in advbench.verify(run.path, deep=True) if check.what == "measured again")
    assert again.said == "nothing: the attacks of an earlier version met other draws"
