"""Every kind of tampering with a run that we could think of: found, or known not to be."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import advbench as ab
from advbench.evaluation.measure_again import Again, measured_again
from advbench.jobs import verify_deep
from advbench.jobs.check import Check
from advbench.runs.manifest import open_manifest
from tests.tamperings import TAMPERINGS, Tampering


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder of twelve digits behind a defense with a fitted network, examples kept, every format."""
    run = ab.run(
        defenses=["bit-depth:bits=2"],
        substitutes=["learned", "identity"],
        ladder=True,
        save_adversarial=True,
        first=12,
        steps=3,
        gradient_free="square:queries=20",
        formats="csv,markdown,latex,json,html",
        out=tmp_path_factory.mktemp("original") / "run",
    )
    return run.path


@pytest.fixture(scope="module")
def measured_once() -> Callable[..., Again]:
    """Measures again, and once what comes to the same: the same plan on the same records."""
    known: dict[str, Again] = {}

    def once(plan: Any, options: Any, samples: Any, heading: Any, **others: Any) -> Again:
        key = repr((plan.seed, plan.threat, dict(plan.attacks), samples["robust"].tolist()))
        if key not in known:
            known[key] = measured_again(plan, options, samples, heading, **others)
        return known[key]

    return once


@pytest.fixture
def run(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured_once: Any) -> Path:
    monkeypatch.setattr(verify_deep, "measured_again", measured_once)
    return Path(shutil.copytree(original, tmp_path / "run"))


def disagreeing(checks: list[Check]) -> list[str]:
    return [check.what for check in checks if not check.holds]


@pytest.mark.parametrize("deep", [False, True])
def test_a_run_that_nobody_tampered_with_is_confirmed(run: Path, deep: bool) -> None:
    checks = ab.verify(run, deep=deep)
    assert not disagreeing(checks), checks
    assert ("makes again" in checks[-1].said) is not deep


def test_there_are_enough_kinds() -> None:
    names = [(kind.name, kind.deep) for kind in TAMPERINGS]
    assert len(set(names)) == len(names) >= 78 + 40
    assert all(bool(kind.blamed) != bool(kind.why) for kind in TAMPERINGS)


@pytest.mark.parametrize("kind", TAMPERINGS, ids=lambda kind: kind.name + " (deep)" * kind.deep)
def test_tampering_is_found_or_known_not_to_be(run: Path, kind: Tampering) -> None:
    digest = None
    if kind.published:
        seal = open_manifest(run).seal
        assert seal is not None
        digest = seal.digest
    kind.change(run)
    if kind.deep:
        assert not disagreeing(ab.verify(run)), "it takes no attack to find it"
    wrong = disagreeing(ab.verify(run, deep=kind.deep, seal=digest))
    assert any(name.startswith(kind.blamed) for name in wrong) if kind.blamed else not wrong, wrong
