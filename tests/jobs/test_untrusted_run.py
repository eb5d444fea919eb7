"""What a run says of itself is a claim: read with suspicion, and no code is run that it names."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import advbench as ab
from advbench.errors import RunFolderError
from advbench.jobs.settings.verify import VerifySettings
from advbench.jobs.untrusted_run import claims_of, recorded_of
from advbench.runs.manifest import Manifest
from advbench.runs.read import misnamed

VERIFY = VerifySettings(run=Path("run"))


@pytest.fixture(scope="module")
def said(made_run: ab.Run) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((made_run.path / "run.json").read_text())
    return values


def changed(said: Mapping[str, Any], group: str = "", **values: Any) -> Manifest:
    """The manifest with other entries, in a group of it or at the top."""
    told = {**said, group: {**said[group], **values}} if group else {**said, **values}
    return Manifest(Path("run"), json.loads(json.dumps(told)))


def test_an_honest_run_claims_what_it_was_told(said: dict[str, Any]) -> None:
    claims = claims_of(changed(said), VERIFY)
    assert misnamed(claims.manifest) == ""
    assert (claims.model, claims.attacks, claims.rungs) == (
        "digits-cnn",
        ("pgd:steps=2",),
        ("shattered", "bpda"),
    )
    assert (claims.gradient_free, claims.kept, claims.judge.draws) == ("", "all", 21)
    subject = claims.subject
    assert (subject.model, subject.checkpoint, subject.defenses) == ("digits-cnn", None, ("round",))
    assert (subject.mean, subject.std) == ("0.0", "1.0")
    assert claims.checkpoint_sha256 == said["checkpoint"]["sha256"]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model": "other"}, "model"),
        ({"dataset": "mnist"}, "data set"),
        ({"norm": "l2"}, "norm"),
        ({"eps": "0.2"}, "radius"),
        ({"attacks": ["pgd:steps=3"]}, "attack"),
        ({"gradient_free": "square"}, "gradient-free attack"),
        ({"rungs": ["shattered"]}, "rung"),
        ({"source": "resnet20"}, "source"),
        ({"surrogate": {"name": "distill", "agreeing": 1, "n": 1, "stepwise": False}}, "surrogate"),
        ({"judging": {"rule": "any:4", "draws": 21, "random": []}}, "judge"),
    ],
)
def test_a_heading_that_says_other_than_the_settings_is_found(
    values: dict[str, Any], name: str, said: dict[str, Any]
) -> None:
    assert misnamed(changed(said, "heading", **values)) == name


def test_what_costs_time_or_memory_is_bounded(said: dict[str, Any]) -> None:
    assert claims_of(changed(said, "execution", batch_size=10**9), VERIFY).batch_size == 4096
    forged = changed(said, "settings", judge_draws=10**9)
    with pytest.raises(RunFolderError, match=r"1,000,000,000 steps for a record.*--no-limit"):
        claims_of(forged, VERIFY)
    assert claims_of(forged, replace(VERIFY, no_limit=True)).judge.draws == 10**9


def test_images_are_described_without_a_look_at_model_or_defenses(said: dict[str, Any]) -> None:
    hostile = changed(said, "settings", model="/tmp/evil.py:make", defenses={"/tmp/evil.py:defense": []})
    recorded = recorded_of(hostile, Path("elsewhere"))
    assert (recorded.subject.model, recorded.subject.defenses) == (None, ())
    assert (recorded.subject.data_root, recorded.subject.first) == (Path("elsewhere"), 8)
    assert recorded_of(hostile, None).subject.data_root == Path(said["execution"]["data_root"])


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        ("", {"status": "running"}, "run is not finished (status 'running')"),
        ("settings", {"save_adversarial": None}, "run has kept no adversarial examples"),
        ("settings", {"mean": []}, "run.json: settings.mean must be a list of numbers, got []."),
        ("settings", {"std": []}, "run.json: settings.std must be a list of numbers, got []."),
        (
            "settings",
            {"model": "evil.py:make"},
            "the run's model is 'evil.py:make', code that no run",
        ),
        (
            "settings",
            {"defenses": {"evil:f": []}},
            "the run's defense is 'evil:f', code that no run",
        ),
        ("settings", {"defenses": {"round+evil.py:f": []}}, "name it again with --defense round+evil.py:f."),
        ("settings", {"norm": "l3"}, "settings.norm must be"),
        ("settings", {"first": -1}, "settings.first must be"),
        ("settings", {"attacks": ["pgd"]}, "settings.attacks must be"),
        ("execution", {"batch_size": 0}, "execution.batch_size must be"),
        ("checkpoint", {"path": 3}, "checkpoint.path must be"),
    ],
)
def test_claims_that_no_run_makes_are_refused(
    group: str, values: dict[str, Any], message: str, said: dict[str, Any]
) -> None:
    with pytest.raises(RunFolderError) as refused:
        claims_of(changed(said, group, **values), VERIFY)
    assert message in str(refused.value)


def test_code_is_taken_from_whoever_names_it_again(said: dict[str, Any]) -> None:
    run = changed(said, "settings", model="mine.py:make", defenses={"mine.py:f": [], "round": []})
    with pytest.raises(RunFolderError, match="name it again with --defense"):
        claims_of(run, replace(VERIFY, model="mine.py:make", defenses=("other.py:f",)))
    claims = claims_of(run, replace(VERIFY, model="my/mine.py:make", defenses=(" mine.py:f ",)))
    assert (claims.subject.model, claims.subject.defenses) == ("my/mine.py:make", ("mine.py:f", "round"))


def test_a_program_names_itself_and_is_trusted_by_the_user_alone(said: dict[str, Any]) -> None:
    run = changed(said, "checkpoint", source="TorchScript", path="program.pt")
    claims = claims_of(run, VERIFY)
    assert (claims.subject.model, claims.subject.checkpoint) == (None, Path("program.pt"))
    assert not claims.subject.trust_program
    assert claims_of(run, replace(VERIFY, trust_program=True)).subject.trust_program
    assert claims_of(run, replace(VERIFY, checkpoint=Path("own.pt"))).subject.checkpoint == Path("own.pt")
